"""The control plane: one file of routes per noun."""
