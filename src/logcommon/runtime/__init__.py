"""Living in another program's process."""
