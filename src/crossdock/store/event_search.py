"""Looking through events: lists, newest first, and how many match.

A look is bounded, however many events there are and however rare its matches: a page may be short, or even empty,
says how far it has looked, and names where the next one goes on. Where a small index has all that can match, such as
the unfinished runs, failed runs and lost replies, it is asked instead, and the look is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    and_,
    func,
    literal_column,
    select,
    text,
    union_all,
)

from crossdock.model.states import RunState
from crossdock.model.time import Instant
from crossdock.store import schema
from crossdock.store.events import (
    EventFilter,
    EventLine,
    conditions,
    event_ids,
    line_of,
    select_lines,
)
from crossdock.store.fleet import UNFINISHED_KINDS

event, run, delivery = schema.event, schema.run, schema.delivery

WINDOW = 10_000
"""How many rows a look with filters looks at."""
SEARCH_WINDOW = 2_000
"""How many rows a look with a text search looks at: their bodies are read."""
FEW = 5_000
"""Up to so many rows of a small index are looked at all."""
COUNTED = 10_000
"""Matches are counted up to here."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """`after` is where the next page goes on; None at the end."""

    lines: list[EventLine]
    after: str | None
    looked_at: int = 0
    """How many rows there were to look at, at most."""
    searched_until: Instant | None = None
    """When the last event that was looked at came, where the page is short although there is more to look at."""


def list_events(
    connection: Connection, workspace_id: str, wanted: EventFilter, *, limit: int, after: str | None = None
) -> EventPage:
    """The newest events of a workspace's integrations that match, those before the id `after`."""
    few = _few(connection, wanted, after)
    if few is not None:
        lines = _lines(connection, workspace_id, wanted, few.ids, limit)
        return EventPage(lines, lines[-1].id if len(lines) == limit else None, few.count)
    own = own_part(connection, workspace_id, wanted)
    if own is not None:
        return _list_own(connection, workspace_id, wanted, own, limit=limit, after=after)
    seen, end = 0, None
    for window in windows(wanted, limit):
        newest = _newest(wanted, after, window)
        lines = _lines(connection, workspace_id, wanted, newest, limit)
        if len(lines) == limit:
            return EventPage(lines, lines[-1].id, window)
        seen, end = _end_of(connection, newest)
    if seen < window:
        return EventPage(lines, None, seen)
    return EventPage(lines, end, seen, _received_at(connection, end))


def _list_own(
    connection: Connection,
    workspace_id: str,
    wanted: EventFilter,
    own: Sequence[str],
    *,
    limit: int,
    after: str | None,
) -> EventPage:
    lines, looked_at, end = list[EventLine](), 0, None
    for window in windows(wanted, limit) if own else ():
        end = horizon(connection, own, wanted, after, max(limit, window // len(own)))
        candidates = above(own, wanted, after, end)
        lines = _lines(connection, workspace_id, wanted, candidates, limit)
        if len(lines) == limit:
            return EventPage(lines, lines[-1].id, window)
        looked_at = _end_of(connection, candidates)[0]
        if end is None:
            break
    return EventPage(lines, end, looked_at, None if end is None else _received_at(connection, end))


def windows(wanted: EventFilter, limit: int) -> tuple[int, ...]:
    """How many rows to look at for a page: few at first, which is enough where matches are frequent."""
    if wanted.search:
        return 4 * limit, SEARCH_WINDOW
    if wanted.asks_rows or wanted.received_after or wanted.received_before:
        return 4 * limit, WINDOW
    return (limit,)


def _newest(wanted: EventFilter, after: str | None, window: int) -> Subquery:
    newest = _before(event_ids(wanted), after).order_by(event.c.id.desc())
    return newest.limit(written_limit(window)).subquery("candidates")


def written_limit(limit: int) -> ColumnElement[int]:
    """A limit written into the statement. PostgreSQL takes one that is a parameter of a prepared statement for a tenth
    of the table, and then plans to read the table.
    """
    return literal_column(str(limit), Integer)


def _lines(
    connection: Connection, workspace_id: str, wanted: EventFilter, candidates: Subquery, limit: int
) -> list[EventLine]:
    found = _matching(candidates.c.id, workspace_id, wanted, candidates).order_by(candidates.c.id.desc())
    found = found.limit(written_limit(limit))
    ids = list(connection.execute(found).scalars())
    query = select_lines().where(event.c.id.in_(ids)).order_by(event.c.id.desc())
    return [line_of(row) for row in connection.execute(query)] if ids else []


def _matching(what: ColumnElement[Any], workspace_id: str, wanted: EventFilter, candidates: Subquery) -> Select[Any]:
    """What is asked for of those candidates that match, with no more tables than the filter needs: rows of `run` are
    narrow, those of `event` are not.
    """
    rows = candidates.join(run, run.c.event_id == candidates.c.id, isouter=True)
    if wanted.asks_events:
        rows = rows.join(event, event.c.id == candidates.c.id, isouter=True)
    if wanted.key is not None:
        rows = rows.join(schema.api_key, schema.api_key.c.id == event.c.key_id, isouter=True)
    own = select(schema.integration.c.id).where(schema.integration.c.workspace_id == workspace_id)
    # `coalesce` and outer joins keep SQLite at the order of the joins, as in `events.is_in`.
    is_own = func.coalesce(run.c.integration_id, "").in_(own)
    return select(what).select_from(rows).where(is_own, *conditions(wanted))


def _end_of(connection: Connection, candidates: Subquery) -> tuple[int, str | None]:
    """How many rows there were to look at, and the last of them."""
    row = connection.execute(select(func.count(), func.min(candidates.c.id))).one()
    return int(row[0]), row[1]


def _received_at(connection: Connection, event_id: str | None) -> Instant | None:
    return connection.execute(select(event.c.received_at).where(event.c.id == event_id)).scalar()


def end_of_window(connection: Connection, last_id: Any, window: int) -> str | None:
    """The last id that was looked at; None when there were fewer than the window holds."""
    seen, last = connection.execute(select(func.count(), last_id)).one()
    return last if seen == window else None


# --- a workspace among others ----------------------------------------------------------------------------------------
#
# What comes to others must neither push its events out of what is looked at nor be told by how far that was.


def own_part(connection: Connection, workspace_id: str, wanted: EventFilter) -> list[str] | None:
    """The workspace's integrations, where others have some, too; None where the newest events are its own anyway."""
    owner = schema.integration
    if wanted.integration_id is not None:
        return None
    others = select(owner.c.id).where(owner.c.workspace_id != workspace_id).limit(1)
    if connection.execute(others).first() is None:
        return None
    return list(connection.execute(select(owner.c.id).where(owner.c.workspace_id == workspace_id)).scalars())


def horizon(
    connection: Connection, own: Sequence[str], wanted: EventFilter, after: str | None, most: int
) -> str | None:
    """How far a look at up to `most` events of each of these integrations goes; None when it comes to their ends."""
    owner = schema.integration
    mine = (event.c.integration_id >= owner.c.id, event.c.integration_id <= owner.c.id)  # a range, as in last_received
    ids = _before(event_ids(wanted).where(*mine), after).order_by(event.c.integration_id.desc(), event.c.id.desc())
    last = ids.offset(most - 1).limit(1).correlate(owner).scalar_subquery()
    found = connection.execute(select(last).select_from(owner).where(owner.c.id.in_(own))).scalars()
    return max((one for one in found if one is not None), default=None)


def above(own: Sequence[str], wanted: EventFilter, after: str | None, end: str | None) -> Subquery:
    """Their events down to a horizon."""
    ids = _before(event_ids(wanted).where(event.c.integration_id.in_(own)), after)
    return (ids if end is None else ids.where(event.c.id >= end)).subquery("candidates")


def _before(ids: Select[Any], after: str | None) -> Select[Any]:
    return ids if after is None else ids.where(event.c.id < after)


# --- small indexes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Few:
    ids: Subquery
    count: int


def _few(connection: Connection, wanted: EventFilter, after: str | None) -> _Few | None:
    """All that can match, where small indexes know it and it is little; None otherwise."""
    parts = list(_parts(wanted, after))
    if not parts:
        return None
    most = SEARCH_WINDOW if wanted.search else FEW
    # Each in a subquery: SQLite takes no LIMIT inside of a UNION.
    some = union_all(*(select(part.limit(written_limit(most + 1)).subquery().c.id) for part in parts))
    count = connection.execute(select(func.count()).select_from(some.subquery("few"))).scalar_one()
    return _Few(some.subquery("candidates"), count) if count <= most else None


def _parts(wanted: EventFilter, after: str | None) -> Iterator[Select[Any]]:
    """Queries for ids, straight from small indexes, that have all matches between them."""
    if wanted.replay_of is not None:
        yield _before(select(event.c.id.label("id")).where(event.c.replay_of == wanted.replay_of), after)
    elif wanted.has_failed_reply:
        # Each once, in the order of the small index: by events alone, SQLite would read all replies there are.
        lost = select(delivery.c.event_id.label("id")).where(_IS_LOST)
        lost = lost.group_by(delivery.c.integration_id, delivery.c.event_id)
        if wanted.integration_id is not None:
            lost = lost.where(delivery.c.integration_id == wanted.integration_id)
        yield lost if after is None else lost.where(delivery.c.event_id < after)
    elif wanted.states and RunState.SUCCEEDED not in wanted.states and RunState.CANCELED not in wanted.states:
        kinds = [] if set(wanted.states) == {RunState.FAILED} else list(UNFINISHED_KINDS)
        for kind in (*kinds, *([_IS_FAILED] if RunState.FAILED in wanted.states else [])):
            ids = select(run.c.event_id.label("id")).where(kind)
            if wanted.integration_id is not None:
                ids = ids.where(run.c.integration_id == wanted.integration_id)
            yield ids if after is None else ids.where(run.c.event_id < after)


# The very words of the indexes' conditions.
_IS_FAILED = and_(text("run.state = 'failed'"))
_IS_LOST = text("delivery.state IN ('failed', 'expired') AND delivery.event_id IS NOT NULL")

# --- counting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matches:
    """How many events match, as far as was looked; `is_exact` says that everything was looked at."""

    count: int
    is_exact: bool
    searched_until: Instant | None = None


def count_events(connection: Connection, workspace_id: str, wanted: EventFilter) -> Matches:
    """How many events match: up to COUNTED of them, and of those that can be looked at."""
    few = _few(connection, wanted, None)
    if few is not None:
        return Matches(_count(connection, workspace_id, wanted, few.ids), is_exact=True)
    window = COUNTED + 1 if not wanted.asks_rows else SEARCH_WINDOW if wanted.search else WINDOW
    own = own_part(connection, workspace_id, wanted)
    if own is not None:
        return _count_own(connection, workspace_id, wanted, own, window)
    newest = _newest(wanted, None, window)
    count = _count(connection, workspace_id, wanted, newest)
    seen, end = _end_of(connection, newest)
    if seen < window:
        return Matches(count, is_exact=True)
    return Matches(min(count, COUNTED), False, _received_at(connection, end))


def _count_own(
    connection: Connection, workspace_id: str, wanted: EventFilter, own: Sequence[str], window: int
) -> Matches:
    if not own:
        return Matches(0, is_exact=True)
    end = horizon(connection, own, wanted, None, max(1, window // len(own)))
    count = _count(connection, workspace_id, wanted, above(own, wanted, None, end))
    if end is None:
        return Matches(count, is_exact=True)
    return Matches(min(count, COUNTED), False, _received_at(connection, end))


def _count(connection: Connection, workspace_id: str, wanted: EventFilter, candidates: Subquery) -> int:
    return int(connection.execute(_matching(func.count(), workspace_id, wanted, candidates)).scalar_one())
