"""What different parties wrote down, held against each other."""
