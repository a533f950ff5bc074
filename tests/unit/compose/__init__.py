"""What can be said of the stack without an engine."""
