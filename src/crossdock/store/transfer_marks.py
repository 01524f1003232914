"""Two marks that keep the two databases of a transfer from being served side by side.

They are rows of `setting`. The source says that it departs before the first row is copied, and may not be served from
then on. The target says how far the copy is, in the transaction of the rows themselves, and may not be served before
everything was compared. So at no moment may both be served, wherever a transfer is killed. Only a release opens the
source again, and it closes the target for good.

Both marks carry the id of the transfer: a source that was released and marked again has another one, and what a
target got before it can't be continued.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, and_, delete, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from crossdock.model.errors import Misconfigured
from crossdock.model.time import Instant, format_instant
from crossdock.store.database import Database, is_unavailable
from crossdock.store.schema import setting

DEPARTURE = "transferred"
ARRIVAL = "transfer"
IS_NO_MARK = and_(setting.c.name != ARRIVAL, setting.c.name != DEPARTURE)
"""What is moved of `setting`."""

_ADD = text("INSERT INTO setting (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING RETURNING name")


class Standing(StrEnum):
    COPYING = "copying"
    COMPLETE = "complete"
    GIVEN_UP = "given_up"  # the source was released: this copy must never be served


@dataclass(frozen=True, slots=True)
class Departure:
    """In the source: where its rows go, or went."""

    id: str
    to: str
    at: Instant
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """In the target: where its rows come from, and how far the copy is."""

    id: str
    origin: str
    revision: str
    begun_at: Instant
    standing: Standing = Standing.COPYING
    table: str = ""
    """The table that the last rows went to; those before it are whole."""
    after: tuple[str | int, ...] | None = None
    """The primary key of its last row, bytes in hex; None when nothing was copied yet."""
    rows: dict[str, int] = field(default_factory=dict)


Mark = TypeVar("Mark", Departure, Arrival)


def read_departure(connection: Connection) -> Departure | None:
    return _read(connection, DEPARTURE, Departure)


def read_arrival(connection: Connection) -> Arrival | None:
    return _read(connection, ARRIVAL, Arrival)


def add_mark(connection: Connection, mark: Departure | Arrival) -> bool:
    """Whether it landed: False when there is such a mark already."""
    return connection.execute(_ADD, {"name": _name_of(mark), "value": _text(mark)}).first() is not None


def change_mark(connection: Connection, before: Mark, after: Mark) -> bool:
    """Whether it landed: False when the mark is not `before` any more, because somebody else moved on with it."""
    found = (setting.c.name == _name_of(before), setting.c.value == _text(before))
    return connection.execute(update(setting).where(*found).values(value=_text(after))).rowcount == 1


def remove_mark(connection: Connection, mark: Departure | Arrival) -> None:
    """Take the mark away, unless somebody moved on with it."""
    connection.execute(delete(setting).where(setting.c.name == _name_of(mark), setting.c.value == _text(mark)))


def check_may_serve(database: Database) -> None:
    """Misconfigured when a server must not work with this database; the message says what to do instead."""
    try:
        with database.direct.connect() as connection:
            if inspect(connection).has_table(setting.name):
                check_marks(connection, shown_place(database))
    except DBAPIError as error:
        if is_unavailable(error):
            raise Misconfigured(f"the database {shown_place(database)} can't be reached: {error.orig}") from error
        raise


def check_marks(connection: Connection, place: str) -> None:
    """The same for an opened database with tables."""
    arrival, departure = read_arrival(connection), read_departure(connection)
    if departure is not None:
        raise Misconfigured(_departed(place, departure))
    if arrival is not None and arrival.standing is Standing.COPYING:
        raise Misconfigured(
            f"{place} is not whole: it is being filled from {arrival.origin}, and the last table it got rows for is "
            f"{arrival.table or 'none yet'}; run `crossdock transfer --from {arrival.origin} --to {place}` until it "
            "says that the transfer is complete"
        )
    if arrival is not None and arrival.standing is Standing.GIVEN_UP:
        raise Misconfigured(
            f"{place} holds the copy of {arrival.origin} that was given up when that was released to be served again; "
            "serve that one, or drop this database and transfer into a new one"
        )


def _departed(place: str, departure: Departure) -> str:
    release = f"`crossdock transfer --release --from {place} --to {departure.to}`"
    if departure.is_complete:
        return (
            f"{place} was transferred to {departure.to} on {format_instant(departure.at)}, and two servers would do "
            f"the same work twice; serve {departure.to}, or go back with {release}, which closes the other one"
        )
    return (
        f"{place} is being transferred to {departure.to} since {format_instant(departure.at)}; go on with "
        f"`crossdock transfer --from {place} --to {departure.to}`, or give it up with {release}"
    )


def shown_place(database: Database) -> str:
    """The database's URL as it may be shown: without user and password."""
    url = database.url
    if database.dialect == "sqlite":
        return f"sqlite:///{Path(url.database or '').absolute()}"
    host = url.host or url.query.get("host") or "localhost"
    shown = host if isinstance(host, str) else ",".join(host)
    return f"postgresql://{shown}{f':{url.port}' if url.port else ''}/{url.database}"


def _read(connection: Connection, name: str, kind: type[Mark]) -> Mark | None:
    value = connection.execute(select(setting.c.value).where(setting.c.name == name)).scalar()
    return None if value is None else msgspec.json.decode(value, type=kind)


def _name_of(mark: Departure | Arrival) -> str:
    return DEPARTURE if isinstance(mark, Departure) else ARRIVAL


def _text(mark: Departure | Arrival) -> str:
    return msgspec.json.encode(mark).decode()
