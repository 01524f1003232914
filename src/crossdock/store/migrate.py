"""Bringing a database's tables up to date with Alembic. Forward only; a released migration is never edited.

A database that is up to date is recognised without Alembic, whose import would cost each start a tenth of a second.

Several nodes share PostgreSQL, and an upgrade changes them one after the other. So what a release adds, the next one
may rely on, and what a release uses no more, the next one may take away: nodes of two neighbouring releases work on
the same tables. `OLDEST_PROGRAM` is written into the database with each migration; a program that finds tables newer
than its own reads there whether it may go on with them. Work goes on while tables change: a lock that is not to be had
within a second is given up and tried again, and indexes of tables that may be large are built beside the work.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from crossdock import observe
from crossdock.model.errors import Misconfigured
from crossdock.store import schema
from crossdock.store.database import Database
from crossdock.store.outages import contention, is_unavailable

LATEST_REVISION = "0005"
"""The last migration in `migrations/versions`."""
OLDEST_PROGRAM = "0004"
"""The latest revision that a program has to know, at least, to work with these tables."""
RETIRED_INDEXES = ("run_waiting",)
"""Indexes that no statement uses any more."""

_MIGRATION_LOCK = 0x43_72_6F_73_73  # "Cross": keeps two nodes from migrating one PostgreSQL at the same time
_OTHERS_SECONDS = 600
_LOCK_SECONDS = 1
_LOCK_TRIES = 60
_MISSING_RIGHT = "42501"
_GUIDE = "docs/guides/postgresql.md shows how"


def migrate(database: Database) -> None:
    """Apply every missing migration. Misconfigured when the database is away, too new, or does not let us."""
    try:
        with database.direct.connect() as connection:
            current = current_revision(connection)
            if current is not None and current > LATEST_REVISION:
                _check_newer(connection, current)
            elif current != LATEST_REVISION:
                _migrate(connection, database)
            if database.dialect == "postgresql":
                if current is None or current <= LATEST_REVISION:  # which indexes newer tables need, others know
                    _complete_indexes(connection, database)
                _check_rights(connection)
    except DBAPIError as error:
        raise _explained(error, database) from error


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(revision) if revision is not None else None


def latest_revision() -> str:
    """The revision that this program works with."""
    return LATEST_REVISION


def _explained(error: DBAPIError, database: Database) -> Exception:
    if contention(error) is not None:
        return Misconfigured(
            f"the tables of {database.url!r} are in use all the time: a lock was not to be had in {_LOCK_TRIES} tries; "
            "look for a long transaction in pg_stat_activity, end it, and start again"
        )
    if getattr(error.orig, "sqlstate", None) == _MISSING_RIGHT:
        return Misconfigured(
            f"the tables of {database.url!r} have to be changed, and this role may not: {_first_line(error.orig)}; "
            f"run `crossdock migrate` as the role that owns them ({_GUIDE})"
        )
    if is_unavailable(error):
        return Misconfigured(f"the database {database.url!r} can't be reached: {error.orig}")
    return error


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


# --- which programs may work with which tables -----------------------------------------------------------------------


class _Compatible(msgspec.Struct):
    tables: str
    oldest_program: str


def may_share(connection: Connection, current: str) -> bool:
    """Whether this program may work with tables of a newer one, as in the middle of a rolling upgrade."""
    if current <= LATEST_REVISION or not _has_column(connection, "alembic_version", "compatible"):
        return False
    value = connection.exec_driver_sql("SELECT compatible FROM alembic_version").scalar()
    said = msgspec.json.decode(value, type=_Compatible) if value else None
    return said is not None and said.tables == current and said.oldest_program <= LATEST_REVISION


def _check_newer(connection: Connection, current: str) -> None:
    if not may_share(connection, current):
        raise Misconfigured(
            f"the database was written by a newer Crossdock (revision {current}, this program knows "
            f"{LATEST_REVISION}); start that version, or restore a backup"
        )


def _say_compatible(connection: Connection) -> None:
    """Beside the revision that it is about, in the row that Alembic keeps."""
    if not _has_column(connection, "alembic_version", "compatible"):
        connection.exec_driver_sql("ALTER TABLE alembic_version ADD COLUMN compatible TEXT")
    value = msgspec.json.encode(_Compatible(LATEST_REVISION, OLDEST_PROGRAM)).decode()
    connection.execute(text("UPDATE alembic_version SET compatible = :value"), {"value": value})


def _has_column(connection: Connection, table: str, name: str) -> bool:
    return any(column["name"] == name for column in inspect(connection).get_columns(table))


# --- changing tables -------------------------------------------------------------------------------------------------


def _migrate(connection: Connection, database: Database) -> None:
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            with _transaction(connection, database):
                if current_revision(connection) != LATEST_REVISION:  # somebody else may have been faster
                    _upgrade(connection)
                    _say_compatible(connection)
            return
        except DBAPIError as error:
            if contention(error) is None or not tries_left:
                raise
        time.sleep(_LOCK_SECONDS * (0.5 + random.random()))  # those who waited behind us have their turn


@contextmanager
def _transaction(connection: Connection, database: Database) -> Iterator[None]:
    postgresql = database.dialect == "postgresql"
    connection.exec_driver_sql("BEGIN" if postgresql else "BEGIN IMMEDIATE")
    try:
        if postgresql:
            connection.exec_driver_sql(
                f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{_OTHERS_SECONDS}s'"
            )
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.dialect.name == "postgresql" and not connection.execute(text("SELECT 1 FROM run LIMIT 1")).first():
        for index in _missing_indexes(connection):  # nothing to be read, and nobody to wait
            connection.execute(CreateIndex(index))
        for name in RETIRED_INDEXES:
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")


# --- indexes, beside the work ----------------------------------------------------------------------------------------


def _missing_indexes(connection: Connection) -> list[Index]:
    """Those that the database lacks, or whose building was interrupted."""
    valid = {name for name, is_valid in _found_indexes(connection).items() if is_valid}
    indexes = [index for table in schema.metadata.sorted_tables for index in table.indexes]
    return sorted((i for i in indexes if i.name not in valid), key=lambda index: str(index.name))


def lacking_indexes(connection: Connection) -> list[str]:
    """The names of indexes that PostgreSQL should have and has not."""
    return (
        [str(index.name) for index in _missing_indexes(connection)] if connection.dialect.name == "postgresql" else []
    )


def _found_indexes(connection: Connection) -> dict[str, bool]:
    query = (
        "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_class ours ON ours.oid = to_regclass('run') AND ours.relnamespace = c.relnamespace"
    )
    return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


def _superfluous_indexes(connection: Connection) -> Sequence[str]:
    return sorted(set(RETIRED_INDEXES) & set(_found_indexes(connection)))


def _complete_indexes(connection: Connection, database: Database) -> None:
    """Build what is missing, and drop what is of no use any more, without holding anybody up.

    Where this may not be done (another role owns the tables, a pooler is in the way) it is told, and work goes on,
    slower.
    """
    missing = lacking_indexes(connection)
    if not missing and not _superfluous_indexes(connection):
        return
    obstacle = _obstacle(connection, database)
    if obstacle is None:
        with _alone(connection):
            _build_indexes(connection)
    elif missing:
        observe.emit(observe.INDEXES_MISSING, indexes=missing, reason=obstacle)


def _obstacle(connection: Connection, database: Database) -> str | None:
    if database.is_pooled(connection) and not database.direct_is_given:
        return "a pooler is in the way: set database_direct, then run `crossdock migrate`"
    query = "SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = to_regclass('run')"
    if not connection.exec_driver_sql(query).scalar():
        return "this role does not own the tables: run `crossdock migrate` as the one that does"
    return None


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Whoever builds indexes is alone. Asked again and again: a statement that waited would be waited for itself."""
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_MIGRATION_LOCK})").scalar():
        time.sleep(0.2 + random.random() / 5)
    try:
        yield
    finally:
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")


def _build_indexes(connection: Connection) -> None:
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.exec_driver_sql("SET lock_timeout = 0")
    for index in _missing_indexes(connection):
        if index.name in _found_indexes(connection):
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
        statement = str(CreateIndex(index).compile(dialect=connection.dialect))
        connection.exec_driver_sql(statement.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1))
    for name in _superfluous_indexes(connection):
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


# --- rights ----------------------------------------------------------------------------------------------------------

_LACKING = text(
    """
    SELECT wanted.right, string_agg(tables.name, ', ' ORDER BY tables.name) AS tables
    FROM unnest(CAST(:tables AS text[])) AS tables(name),
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted("right")
    WHERE NOT has_table_privilege(CAST(to_regclass(tables.name) AS oid), wanted.right)
    GROUP BY wanted.right ORDER BY wanted.right
    """
)


def _check_rights(connection: Connection) -> None:
    """Misconfigured when this role may not do with the tables what the program does."""
    lacking = connection.execute(_LACKING, {"tables": [table.name for table in schema.metadata.sorted_tables]}).all()
    if lacking:
        role = connection.exec_driver_sql("SELECT current_user").scalar()
        told = "; ".join(f"{row.right} on {row.tables}" for row in lacking)
        raise Misconfigured(f"the database role {role} lacks rights: {told}. Grant them as the owner ({_GUIDE})")
