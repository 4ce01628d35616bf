"""What a message is counted as. No I/O."""
