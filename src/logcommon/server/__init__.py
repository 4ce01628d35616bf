"""How we connect, and to what."""
