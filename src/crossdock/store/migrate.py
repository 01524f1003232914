"""Bringing a database's tables up to date with Alembic. Forward only; a released migration is never edited.

A database that is up to date is recognised without Alembic, whose import would cost each start a tenth of a second.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured
from crossdock.store.database import Database, is_unavailable

LATEST_REVISION = "0002"
"""The last migration in `migrations/versions`."""

_MIGRATION_LOCK = 0x43_72_6F_73_73  # "Cross": keeps two nodes from migrating one PostgreSQL at the same time


def migrate(database: Database) -> None:
    """Apply every missing migration. Misconfigured when the database is newer than this program, or away."""
    try:
        with database.writer.connect() as connection:
            if current_revision(connection) != LATEST_REVISION:
                _migrate(connection, database)
    except DBAPIError as error:
        if is_unavailable(error):
            raise Misconfigured(f"the database {database.url!r} can't be reached: {error.orig}") from error
        raise


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(revision) if revision is not None else None


def latest_revision() -> str:
    """The revision that this program works with."""
    return LATEST_REVISION


def _migrate(connection: Connection, database: Database) -> None:
    postgresql = database.dialect == "postgresql"
    connection.exec_driver_sql("BEGIN" if postgresql else "BEGIN IMMEDIATE")
    try:
        if postgresql:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        _upgrade(connection)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    current = current_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise Misconfigured(
            f"the database was written by a newer Crossdock (revision {current}); "
            "start that version, or restore a backup"
        )
    command.upgrade(config, "head")
