"""Tell alembic to work on the connection that `gateway.database` hands over, and nothing else."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
