"""The database schema as a sequence of steps that alembic applies."""
