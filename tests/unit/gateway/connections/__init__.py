"""The control plane through the real app, with real credentials."""
