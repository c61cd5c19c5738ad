"""Run by Alembic: applies the versions on the connection that ``migrate`` opened."""

from alembic import context

from voxrelay.storage.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False)
context.run_migrations()
