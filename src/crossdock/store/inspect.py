"""What can be seen of a database from outside, for `crossdock doctor`. Nothing is changed, nothing is judged here.

It works beside a running server and without one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.model.time import SECOND, Instant
from crossdock.store import schema
from crossdock.store.database import Database, Dialect, open_database, parse_url, sqlite_module
from crossdock.store.fleet import Backlog, SeenNode, count_unfinished, leases_by_node, see_nodes
from crossdock.store.inspect_server import ServerFacts, inspect_server
from crossdock.store.migrate import current_revision, lacking_indexes, latest_revision, may_share


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A master key that has sealed so many secrets, the first of them at an instant."""

    secrets: int
    since: Instant


@dataclass(frozen=True, slots=True)
class Installation:
    """What the tables tell of nodes and of their work."""

    nodes: tuple[SeenNode, ...]
    leases: Mapping[str, Mapping[str, int]]
    """What each node holds, by kind; nodes that nobody knows any more too."""
    backlogs: tuple[Backlog, ...]
    sealing_keys: Mapping[str, SealingKey]


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a database told about itself. `problem` is why it could not be asked; the rest is empty then."""

    dialect: Dialect
    place: str
    """The file, or host and name; without the password."""
    version: str = ""
    exists: bool = True
    problem: str | None = None
    durability: str = ""
    """SQLite: `journal_mode/synchronous`; PostgreSQL: `synchronous_commit`; as the writing connection has them."""
    clock: Instant | None = None
    revision: str | None = None
    latest_revision: str = ""
    is_shared: bool = False
    """The tables are those of a newer version, which lets this one work with them, as in a rolling upgrade."""
    holder: str | None = None
    """The process that has the database open (SQLite)."""
    installation: Installation | None = None
    """None where the tables are missing, or neither those of this version nor shared with it."""
    server: ServerFacts | None = None
    """What PostgreSQL tells of itself."""
    is_pooled: bool = False
    """A pooler lends the connections out for one transaction each, and nobody named a way past it."""
    lacking: tuple[str, ...] = ()
    """Indexes that are not there. Empty where the tables are shared: only the newer version knows what they need."""


def inspect_database(url: str, now: Instant, direct: str | None = None) -> DatabaseFacts:
    """Ask the database at `url`; `direct` is the way past a pooler."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        place = f"{parsed.host or parsed.query.get('host', '')}/{parsed.database}"
        return _ask(open_database(url, direct), DatabaseFacts("postgresql", place), now)
    file = Path(parsed.database or "")
    version = str(sqlite_module().sqlite_version)
    if not file.is_file():
        return DatabaseFacts("sqlite", str(file), version, exists=False, latest_revision=latest_revision())
    facts = DatabaseFacts("sqlite", str(file), version, holder=lock_holder(Path(f"{file}.lock")))
    return _ask(open_database(url), facts, now)


def lock_holder(lock: Path) -> str | None:
    """The process id in a lock file that is held; None when nobody holds it."""
    try:
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "unknown"
    except FileNotFoundError:
        return None
    return None


def _ask(database: Database, facts: DatabaseFacts, now: Instant) -> DatabaseFacts:
    try:
        durability = _durability(database)
        with database.reading() as connection:
            revision = current_revision(connection)
            is_up_to_date = revision == latest_revision()
            is_shared = revision is not None and may_share(connection, revision)
            return DatabaseFacts(
                facts.dialect,
                facts.place,
                version=facts.version or _server_version(connection),
                durability=durability,
                clock=_clock(connection, facts.dialect),
                revision=revision,
                latest_revision=latest_revision(),
                is_shared=is_shared,
                holder=facts.holder,
                installation=_installation(connection, now) if is_up_to_date or is_shared else None,
                server=inspect_server(connection) if facts.dialect == "postgresql" else None,
                is_pooled=database.is_pooled(connection) and not database.direct_is_given,
                lacking=tuple(lacking_indexes(connection)) if is_up_to_date else (),
            )
    except (DBAPIError, Misconfigured, StoreUnavailable) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error.__cause__ or error
        return DatabaseFacts(facts.dialect, facts.place, facts.version, problem=_first_line(reason))
    finally:
        database.dispose()


def _durability(database: Database) -> str:
    with database.writer.connect() as connection:
        if database.dialect == "sqlite":
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
            return f"{mode}/{({0: 'off', 1: 'normal', 2: 'full', 3: 'extra'}).get(level, level)}"
        return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())


def _server_version(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SHOW server_version").scalar_one()).split(" ")[0]


_CLOCK = text("SELECT extract(epoch FROM clock_timestamp())")


def _clock(connection: Connection, dialect: Dialect) -> Instant | None:
    """The database server's clock; SQLite has none of its own."""
    if dialect == "sqlite":
        return None
    return round(float(connection.execute(_CLOCK).scalar_one()) * SECOND)


def _installation(connection: Connection, now: Instant) -> Installation:
    secret = schema.secret
    sealed = select(secret.c.key_id, func.count(), func.min(secret.c.updated_at)).group_by(secret.c.key_id)
    return Installation(
        nodes=tuple(see_nodes(connection, now)),
        leases=leases_by_node(connection),
        backlogs=tuple(count_unfinished(connection)),
        sealing_keys={row[0]: SealingKey(int(row[1]), int(row[2])) for row in connection.execute(sealed)},
    )


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
