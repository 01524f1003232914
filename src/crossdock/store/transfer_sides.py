"""The two databases of a transfer, opened for it alone: no server works with either meanwhile.

SQLite is locked with the lock file that servers take. On PostgreSQL there must be no node that is alive; one that is
started during the transfer finds the mark there and ends (`transfer_marks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured
from crossdock.model.time import SECOND, Instant
from crossdock.store import schema
from crossdock.store.database import Database, lock_file, open_database, parse_url
from crossdock.store.migrate import current_revision, latest_revision, migrate
from crossdock.store.nodes import database_now
from crossdock.store.transfer_marks import shown_place

_SQLITE_HEAD = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Sides:
    """`ttl_seconds` is how old a heartbeat may be for its node to count as alive."""

    source: Database
    target: Database
    ttl_seconds: float

    @property
    def source_place(self) -> str:
        return shown_place(self.source)

    @property
    def target_place(self) -> str:
        return shown_place(self.target)


@contextmanager
def opened_sides(source_url: str, target_url: str, now: Instant, ttl_seconds: float) -> Iterator[Sides]:
    """Both databases with this version's tables, and nobody else at work on them.

    Misconfigured when one of them is not there, of another version, in use, or not of the other's kind. The target is
    made and migrated only after the source was found to be in order.
    """
    _check_kinds(source_url, target_url)
    with opened_side(source_url, now, ttl_seconds) as source:
        _check_revision(source)
        with _opened_target(target_url, now, ttl_seconds) as target:
            yield Sides(source, target, ttl_seconds)


@contextmanager
def opened_as_they_are(source_url: str, target_url: str, now: Instant, ttl_seconds: float) -> Iterator[Sides]:
    """The same, to look at them only: nothing is made or migrated."""
    _check_kinds(source_url, target_url)
    with opened_side(source_url, now, ttl_seconds) as source, opened_side(target_url, now, ttl_seconds) as target:
        _check_revision(source)
        _check_revision(target)
        yield Sides(source, target, ttl_seconds)


@contextmanager
def opened_side(url: str, now: Instant, ttl_seconds: float) -> Iterator[Database]:
    """A database that is there and that nobody else works with; Misconfigured otherwise."""
    _check_file(url)
    with ExitStack() as opened:
        database = open_database(url)
        opened.callback(database.dispose)
        _enter_alone(database, opened, now, ttl_seconds)
        yield database


@contextmanager
def _opened_target(url: str, now: Instant, ttl_seconds: float) -> Iterator[Database]:
    with ExitStack() as opened:
        database = open_database(url)
        opened.callback(database.dispose)
        _enter_alone(database, opened, now, ttl_seconds)
        migrate(database)
        _check_revision(database)  # nodes may share tables of a newer version; rows are copied to equal ones only
        yield database


def _enter_alone(database: Database, opened: ExitStack, now: Instant, ttl_seconds: float) -> None:
    lock = lock_file(database)
    if lock is not None:
        lock.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
        opened.callback(lock.release)
        return
    try:
        with database.direct.connect() as connection:
            check_alone(connection, shown_place(database), now, ttl_seconds)
    except DBAPIError as error:
        raise Misconfigured(f"{shown_place(database)} can't be reached: {_first_line(error.orig)}") from None


def check_alone(connection: Connection, place: str, now: Instant, ttl_seconds: float) -> None:
    """Misconfigured when a node on PostgreSQL is alive; SQLite has its lock file."""
    if connection.dialect.name == "sqlite":
        return
    alive = _living_nodes(connection, now, ttl_seconds)
    if alive:
        raise Misconfigured(f"{place} is in use by {', '.join(alive)}; stop every server on it, then run this again")


def _living_nodes(connection: Connection, now: Instant, ttl_seconds: float) -> list[str]:
    """The servers that said a moment ago that they live, in words."""
    node = schema.node
    if not inspect(connection).has_table(node.name):
        return []
    oldest = database_now(connection, now) - round(ttl_seconds * SECOND)
    query = select(node.c.host, node.c.pid).where(node.c.heartbeat_at > oldest).order_by(node.c.host, node.c.pid)
    return [f"process {pid} on {host}" for host, pid in connection.execute(query)]


def _check_kinds(source_url: str, target_url: str) -> None:
    source, target = parse_url(source_url), parse_url(target_url)
    kinds = (source.get_backend_name(), target.get_backend_name())
    if source == target:
        raise Misconfigured("source and target are the same database; name two different ones with --from and --to")
    if kinds == ("sqlite", "sqlite"):
        raise Misconfigured(
            "both are SQLite: `crossdock backup` copies a file; transfers are between SQLite and PostgreSQL"
        )
    if kinds[0] == kinds[1]:
        raise Misconfigured(
            "both are PostgreSQL: use pg_dump and pg_restore; transfers are between SQLite and PostgreSQL"
        )


def _check_file(url: str) -> None:
    """Before SQLite is asked: it would make an empty file where there is none."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return
    file = Path(parsed.database or "")
    if not file.is_file():
        raise Misconfigured(f"there is no database {file}; check the URL")
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_SQLITE_HEAD))
    except OSError as error:
        raise Misconfigured(f"{file} can't be read: {error.strerror}") from None
    if head != _SQLITE_HEAD:
        raise Misconfigured(f"{file} is not a SQLite database; check the URL")


def _check_revision(database: Database) -> None:
    place, latest = shown_place(database), latest_revision()
    try:
        with database.direct.connect() as connection:
            revision = current_revision(connection)
    except DBAPIError as error:
        raise Misconfigured(f"{place} can't be read: {_first_line(error.orig)}") from None
    if revision is None:
        raise Misconfigured(f"{place} is no database of Crossdock: it has none of its tables")
    if revision < latest:
        raise Misconfigured(
            f"{place} has the tables of an older version (revision {revision}, this program works with {latest}); "
            f"run `crossdock migrate --database {place}` first"
        )
    if revision > latest:
        raise Misconfigured(
            f"{place} was written by a newer Crossdock (revision {revision}, this program works with {latest}); "
            "use that version's `crossdock transfer`"
        )


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]
