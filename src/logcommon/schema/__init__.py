"""What Redis holds. No I/O."""
