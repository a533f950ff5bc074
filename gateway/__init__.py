"""The edge: the only package that knows HTTP, and where everything is put together."""
