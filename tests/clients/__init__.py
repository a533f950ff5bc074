"""Programs of others, run from `.venv/clients` in processes of their own.

Their generated messages and ours have the same names, and one process cannot hold both.
"""
