"""Bringing a database's tables up to date with Alembic. Forward only; a released migration is never edited."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured
from crossdock.store.database import Database, is_unavailable

_MIGRATION_LOCK = 0x43_72_6F_73_73  # "Cross": keeps two nodes from migrating one PostgreSQL at the same time


def migrate(database: Database) -> None:
    """Apply every missing migration. Misconfigured when the database is newer than this program, or away."""
    try:
        with database.writer.connect() as connection:
            _migrate(connection, database)
    except DBAPIError as error:
        if is_unavailable(error):
            raise Misconfigured(f"the database {database.url!r} can't be reached: {error.orig}") from error
        raise


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def latest_revision() -> str:
    """The revision that this program works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _migrate(connection: Connection, database: Database) -> None:
    postgresql = database.dialect == "postgresql"
    current = current_revision(connection)
    if current == latest_revision():
        return
    connection.exec_driver_sql("BEGIN" if postgresql else "BEGIN IMMEDIATE")
    if postgresql:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    current = current_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        connection.exec_driver_sql("ROLLBACK")
        raise Misconfigured(
            f"the database was written by a newer Crossdock (revision {current}); "
            "start that version, or restore a backup"
        )
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
