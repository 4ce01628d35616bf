"""From a call to a commit."""
