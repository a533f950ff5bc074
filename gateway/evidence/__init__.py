"""Hold what different parties wrote down of the same predictions against each other."""
