"""The versions of models: what is registered, prepared, served and withdrawn."""
