"""From Redis to rows."""
