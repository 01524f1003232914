"""Alembic's entry: migrations run on the connection, and in the transaction, that `store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from crossdock.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds everything
    render_as_batch=False,
)
context.run_migrations()
