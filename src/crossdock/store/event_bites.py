"""Going through events from the oldest to the newest, bite by bite: what bulk jobs live on.

A bite looks at a bounded number of rows, however rare its matches are, so that no reader is kept for long. It is to be
read at once: where retention deletes rows between two of its looks, others would be passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Subquery, func, select

from crossdock.model.event import Event
from crossdock.model.states import RunState
from crossdock.store import schema
from crossdock.store.accept import event_of
from crossdock.store.event_search import SEARCH_WINDOW, WINDOW, end_of_window, windows, written_limit
from crossdock.store.events import EventFilter, conditions, event_ids, is_in, joined

event, run = schema.event, schema.run


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """What has to be known of an event before something is done to it."""

    id: str
    integration_id: str
    size: int
    state: RunState
    lane_id: str | None
    lane_sequence: int | None


@dataclass(frozen=True, slots=True)
class Bite:
    """Some events, oldest first. `after` is where the next bite begins; None at the end."""

    found: list[FoundEvent]
    after: str | None


def bite_of_events(
    connection: Connection, workspace_id: str, wanted: EventFilter, *, limit: int, after: str | None = None
) -> Bite:
    """The oldest events that match, those after the id `after`. A bite may be short, even empty, and not the last."""
    columns = (event.c.id, event.c.integration_id, event.c.size, run.c.state, run.c.lane_id, run.c.lane_sequence)
    for window in windows(wanted, limit):
        candidates = _oldest(wanted, after, window)
        query = (
            select(*columns)
            .select_from(joined(candidates.join(event, event.c.id == candidates.c.id)))
            .where(is_in(workspace_id), *conditions(wanted))
            .order_by(candidates.c.id)
            .limit(limit)
        )
        found = [FoundEvent(**{**row._mapping, "state": RunState(row.state)}) for row in connection.execute(query)]
        if len(found) == limit:
            return Bite(found, found[-1].id)
    return Bite(found, end_of_window(connection, func.max(candidates.c.id), window))


def count_bite(
    connection: Connection, workspace_id: str, wanted: EventFilter, *, after: str | None = None
) -> tuple[int, str | None]:
    """How many events of the next window match, and where the one behind it begins; None at the end."""
    window = SEARCH_WINDOW if wanted.search else WINDOW
    candidates = _oldest(wanted, after, window)
    events = joined(candidates.join(event, event.c.id == candidates.c.id))
    query = select(func.count()).select_from(events).where(is_in(workspace_id), *conditions(wanted))
    count = int(connection.execute(query).scalar_one())
    return count, end_of_window(connection, func.max(candidates.c.id), window)


def _oldest(wanted: EventFilter, after: str | None, window: int) -> Subquery:
    oldest = event_ids(wanted).order_by(event.c.id)
    if after is not None:
        oldest = oldest.where(event.c.id > after)
    return oldest.limit(written_limit(window)).subquery("candidates")


def position_before_last(connection: Connection, integration_id: str, count: int) -> str | None:
    """The id of the event just before the last `count` ones of an integration; None when there are no more."""
    query = select(event.c.id).where(event.c.integration_id == integration_id).order_by(event.c.id.desc())
    return connection.execute(query.offset(count).limit(1)).scalar()


def read_events(connection: Connection, ids: Sequence[str]) -> dict[str, Event]:
    """Events by id; those that are gone are missing."""
    rows = connection.execute(select(event).where(event.c.id.in_(ids)))
    return {row.id: event_of(row) for row in rows}
