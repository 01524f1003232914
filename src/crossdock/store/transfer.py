"""Moving everything from one database to the other: SQLite to PostgreSQL where one machine is outgrown, and back.

Tables are copied one after the other in the order of their keys, many rows to a transaction. How far the copy is, is
written in the same transaction, guarded by what it was before: killed at any moment, the next start goes on behind the
last row that is there, and a second process can't write the same rows. At the end both sides are read once more and
compared. What was under way in the source stays as it stood: its node is known to nobody in the target, so the first
server there takes it over like a dead one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import Literal, TypeAlias

import psycopg
from sqlalchemy import Connection, Table, func, inspect, select
from sqlalchemy.exc import DBAPIError

from crossdock.clock import Clock, new_id
from crossdock.model.errors import CrossdockError, Misconfigured
from crossdock.model.time import format_instant
from crossdock.store.database import Database
from crossdock.store.migrate import latest_revision
from crossdock.store.schema import setting
from crossdock.store.transfer_check import Contents, Tick, contents_of
from crossdock.store.transfer_marks import (
    IS_NO_MARK,
    Arrival,
    Departure,
    Standing,
    add_mark,
    change_mark,
    read_arrival,
    read_departure,
    remove_mark,
    shown_place,
)
from crossdock.store.transfer_rows import (
    PLACES,
    TABLES,
    Row,
    batches,
    has_nul,
    key_of,
    rows_of,
    transaction,
    without_nul,
    write_rows,
)
from crossdock.store.transfer_sides import Sides, check_alone


class TransferFailed(CrossdockError):
    """The transfer can't go on now; the message says why, and how to."""


class TransferStopped(CrossdockError):
    """Whoever watches it asked to stop. What was copied is kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`rows` of `total` are done in this table."""

    stage: Literal["copy", "check"]
    table: str
    rows: int
    total: int


Watcher: TypeAlias = Callable[[Progress], None]
"""Hears of progress; raises TransferStopped to end the transfer between two transactions."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One table on both sides."""

    table: str
    source: Contents
    target: Contents

    @property
    def is_same(self) -> bool:
        return self.source == self.target


class Transfer:
    """One transfer between two opened databases. `begin`, then `copy`, then `compare`, then `complete`."""

    def __init__(self, sides: Sides, clock: Clock, watch: Watcher) -> None:
        self._sides = sides
        self._clock = clock
        self._watch = watch
        self.changed_texts = 0
        """Rows whose texts had NUL characters, which PostgreSQL has not."""

    # --- the beginning ---------------------------------------------------------------------------------------------

    def begin(self) -> Arrival:
        """Mark both sides, or find the marks of the transfer that goes on here; how far it is.

        Misconfigured when the target has contents of its own, or the two don't belong to one transfer.
        """
        sides = self._sides
        with _explained(setting), sides.source.direct.connect() as source, sides.target.direct.connect() as target:
            departure, arrival = read_departure(source), read_arrival(target)
            if departure is not None and arrival is not None and departure.id == arrival.id:
                self._check_continuation(departure, arrival)
                return arrival
            if arrival is not None:
                raise Misconfigured(self._foreign(arrival))
            if departure is not None and (departure.is_complete or departure.to != sides.target_place):
                raise Misconfigured(_goes_elsewhere(sides, departure))
            occupied = [table.name for table in TABLES if _has_rows(target, table)]
            if occupied:
                raise Misconfigured(
                    f"{sides.target_place} is not empty: it has rows in {', '.join(occupied)}; a transfer fills a new "
                    "database only, so make one (CREATE DATABASE), and start no server on it before"
                )
            return self._mark(source, target, departure)

    def _mark(self, source: Connection, target: Connection, departure: Departure | None) -> Arrival:
        """The source first: from here on no server starts on it."""
        sides, now = self._sides, self._clock()
        if departure is None:
            departure = Departure(new_id("trf"), sides.target_place, now)
            if not add_mark(source, departure):
                raise Misconfigured(f"another transfer from {sides.source_place} has just begun")
        arrival = Arrival(departure.id, sides.source_place, latest_revision(), now)
        if not add_mark(target, arrival):
            raise Misconfigured(f"another transfer to {sides.target_place} has just begun")
        try:  # a server looks for marks once it is known: either it finds them, or it is found here
            check_alone(source, sides.source_place, now, sides.ttl_seconds)
            check_alone(target, sides.target_place, now, sides.ttl_seconds)
        except Misconfigured:
            remove_mark(target, arrival)
            remove_mark(source, departure)
            raise
        return arrival

    def _check_continuation(self, departure: Departure, arrival: Arrival) -> None:
        if arrival.standing is Standing.COPYING and arrival.revision != latest_revision():
            raise Misconfigured(
                f"this transfer was begun by another version (revision {arrival.revision}); finish it with that one, "
                f"or drop {self._sides.target_place}, make it anew and begin again"
            )
        if arrival.standing is Standing.GIVEN_UP:
            raise Misconfigured(
                f"this transfer was given up; drop {self._sides.target_place}, make it anew and begin again"
            )
        assert departure.is_complete or arrival.standing is Standing.COPYING, "the source is closed first"

    def _foreign(self, arrival: Arrival) -> str:
        begun = f"begun on {format_instant(arrival.begun_at)} from {arrival.origin}"
        if arrival.standing is Standing.COMPLETE:
            return f"{self._sides.target_place} is in use already: it was filled by a transfer {begun}; make a new one"
        return (
            f"{self._sides.target_place} holds part of another transfer, {begun}, or of this one before its source "
            "was released; drop the database, make it anew and begin again"
        )

    # --- the copy --------------------------------------------------------------------------------------------------

    def copy(self, arrival: Arrival) -> Arrival:
        """Copy what is missing; how far the copy is then. TransferFailed when a database refuses or goes away."""
        with self._sides.source.direct.connect() as source, self._sides.target.direct.connect() as target:
            for table in TABLES[PLACES.get(arrival.table, 0) :]:
                arrival = self._copy_table(source, target, table, arrival)
        return arrival

    def _copy_table(self, source: Connection, target: Connection, table: Table, arrival: Arrival) -> Arrival:
        name = str(table.name)  # SQLAlchemy's is a subclass, which JSON does not take
        after = arrival.after if arrival.table == name else None
        total = _count(source, table)
        done = arrival.rows.get(name, 0)
        self._watch(Progress("copy", name, done, total))
        with _explained(table):
            for batch in batches(table, rows_of(source, table, after)):
                done += len(batch)
                counts = {**arrival.rows, name: done}
                further = replace(arrival, table=name, after=key_of(table, batch[-1]), rows=counts)
                self._write(target, table, batch, (arrival, further))
                arrival = further
                self._watch(Progress("copy", name, done, total))
        return arrival

    def _write(self, target: Connection, table: Table, batch: list[Row], moves: tuple[Arrival, Arrival]) -> None:
        try:
            self._write_once(target, table, batch, moves)
        except psycopg.DataError:
            refused = [row for row in batch if has_nul(row)]
            if not refused:
                raise
            self.changed_texts += len(refused)
            self._write_once(target, table, [without_nul(row) for row in batch], moves)

    def _write_once(self, target: Connection, table: Table, batch: list[Row], moves: tuple[Arrival, Arrival]) -> None:
        with transaction(target):
            if not change_mark(target, *moves):
                raise TransferFailed("another process goes on with this transfer, or has stopped it; this one ends")
            write_rows(target, table, batch)

    # --- the end ---------------------------------------------------------------------------------------------------

    def compare(self) -> Iterator[Compared]:
        """Both sides, table by table, read to the end; at the same time, because one of them does its own sums."""
        connected = (self._sides.source.direct.connect(), self._sides.target.direct.connect())
        with connected[0] as source, connected[1] as target, ThreadPoolExecutor(1) as beside:
            for table in TABLES:
                is_over = Event()
                other = beside.submit(contents_of, target, table, _until(is_over))
                try:
                    with _explained(table):
                        mine = contents_of(source, table, self._counted(source, table))
                        yield Compared(str(table.name), mine, other.result())
                finally:
                    is_over.set()

    def _counted(self, source: Connection, table: Table) -> Tick:
        total = _count(source, table)
        return lambda rows: self._watch(Progress("check", str(table.name), rows, total))

    def complete(self, arrival: Arrival) -> Arrival:
        """After everything was compared: close the source, then open the target."""
        finished = replace(arrival, standing=Standing.COMPLETE)
        with (
            _explained(setting),
            self._sides.source.direct.connect() as source,
            self._sides.target.direct.connect() as target,
        ):
            departure = read_departure(source)
            if departure is None or departure.id != arrival.id:
                raise TransferFailed(f"the mark in {self._sides.source_place} is gone; begin again with a new target")
            if not departure.is_complete:
                change_mark(source, departure, replace(departure, is_complete=True, at=self._clock()))
            if self._sides.target.dialect == "postgresql":
                for table in TABLES:
                    target.exec_driver_sql(f'ANALYZE "{table.name}"')
            if not change_mark(target, arrival, finished):
                raise TransferFailed("another process goes on with this transfer; this one ends")
        return finished


def release(source: Database, target: Database | None) -> Departure:
    """Let the source of a transfer be served again, and its target never more; what the mark said.

    The target is closed first. Misconfigured when the source has no mark, or `target` holds nothing of the transfer.
    Without a target nobody but the caller knows that it is not served.
    """
    with _explained(setting), ExitStack() as opened:
        connection = opened.enter_context(source.direct.connect())
        departure = read_departure(connection)
        if departure is None:
            raise Misconfigured(f"{shown_place(source)} is not marked as transferred; it can be served as it is")
        if target is not None:
            _close(opened.enter_context(target.direct.connect()), shown_place(target), departure)
        remove_mark(connection, departure)
    return departure


def read_mark(source: Database) -> Departure | None:
    """Where the database was transferred to, or is being transferred to."""
    with source.reading() as connection:
        return read_departure(connection)


def _close(target: Connection, place: str, departure: Departure) -> None:
    arrival = read_arrival(target) if inspect(target).has_table(setting.name) else None
    if arrival is None or arrival.id != departure.id:
        raise Misconfigured(
            f"{place} holds nothing of this transfer, which went to {departure.to}; name that one with --to, or, when "
            "it is gone, leave --to out and add --force"
        )
    if not change_mark(target, arrival, replace(arrival, standing=Standing.GIVEN_UP)):
        raise TransferFailed("somebody else goes on with this transfer at this moment; stop that first")


def _until(is_over: Event) -> Tick:
    def tick(_rows: int) -> None:
        if is_over.is_set():
            raise TransferStopped

    return tick


@contextmanager
def _explained(table: Table) -> Iterator[None]:
    """What drivers say, in words that tell how to go on. A row's contents are never among them."""
    try:
        yield
    except DBAPIError as error:
        raise TransferFailed(_explain(table.name, error.orig or error)) from error
    except psycopg.Error as error:
        raise TransferFailed(_explain(table.name, error)) from error


def _explain(table: str, error: BaseException) -> str:
    again = "then run the same command again: it goes on where it was"
    reason = getattr(getattr(error, "diag", None), "message_primary", None) or _first_line(error)
    if isinstance(error, psycopg.errors.DiskFull) or "database or disk is full" in reason:
        return f"the target's disk is full ({reason}); make room, {again}"
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return (
            f"the connection to PostgreSQL broke while table {table} was moved ({reason}); make it reachable, {again}"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"table {table}: {reason}; connect as the owner of the database, {again}"
    return f"table {table} can't be moved: {reason}"


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def _goes_elsewhere(sides: Sides, departure: Departure) -> str:
    word = "was transferred" if departure.is_complete else "is being transferred"
    return (
        f"{sides.source_place} {word} to {departure.to} since {format_instant(departure.at)}; use that one, or go back "
        f"first with `crossdock transfer --release --from {sides.source_place} --to {departure.to}`"
    )


def _has_rows(connection: Connection, table: Table) -> bool:
    return connection.execute(select(1).select_from(table).limit(1)).first() is not None


def _count(connection: Connection, table: Table) -> int:
    query = select(func.count()).select_from(table)
    if table is setting:
        query = query.where(IS_NO_MARK)
    return int(connection.execute(query).scalar_one())
