"""Recording accepted calls: the event, its run, its place in its lane, its dedupe key, in one shared commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeAlias

import msgspec
from sqlalchemy import BigInteger, Connection, bindparam, func, select, tuple_
from sqlalchemy.sql.dml import Insert

from crossdock.model.event import Event, Request
from crossdock.model.run import JournalEntry, Lane, LeasedRun
from crossdock.model.states import RunState
from crossdock.model.time import Instant, later
from crossdock.model.value import value
from crossdock.store import schema
from crossdock.store.journal import entry_row, insert_entries
from crossdock.store.statements import RowInsert

encode = msgspec.json.Encoder().encode


@value
class Lease:
    """What this node offers: a free slot for the run, or to own the lane that the event goes to."""

    node_id: str
    token: str


@value
class DedupeKey:
    key: str
    within: float
    """Seconds."""


@value
class Accepted:
    """The event is durable. `run` is set when it is leased to this node.

    `lane` is set when it waits for its turn there; `lane_token` with it when this node owns the lane.
    """

    event: Event
    workflow_number: int
    run: LeasedRun | None = None
    lane: Lane | None = None
    lane_token: str | None = None
    journal: tuple[JournalEntry, ...] = ()
    """What the run begins with, if that is not nothing."""
    caller_node: str | None = None
    node_id: str | None = None
    """Who holds `run`, or owns the lane."""


@value
class Duplicate:
    """Nothing was recorded: `event_id` is the first event with this key."""

    event_id: str


@value
class Accept:
    """A call to be recorded. Its answer is `Accepted` or `Duplicate`.

    With `finished`, the event has nothing to be run and succeeds as it is recorded. With `journal`, its run begins
    with what another one has finished.
    """

    rank: ClassVar[int] = 30

    event: Event
    workflow_number: int
    lease: Lease | None = None
    lane_key: str | None = None
    dedupe: DedupeKey | None = None
    finished: bool = False
    journal: JournalEntry | None = None
    caller_node: str | None = None
    """Where somebody waits for the answer."""

    @classmethod
    def record(cls, connection: Connection, changes: Sequence[Self], /) -> Sequence[AcceptAnswer]:
        duplicates = _claim_dedupe_keys(connection, changes)
        fresh = [change for n, change in enumerate(changes) if n not in duplicates]
        places = _take_places(connection, fresh)
        _insert_events.execute(connection, [_event_row(change.event) for change in fresh])
        _insert_runs.execute(
            connection, [_run_row(change, places.get(change.event.id, _NO_PLACE)[0]) for change in fresh]
        )
        begun = [entry_row(change.event.id, change.journal) for change in fresh if change.journal is not None]
        insert_entries.execute(connection, begun)
        return [
            Duplicate(duplicates[n]) if n in duplicates else _accepted(change, places.get(change.event.id, _NO_PLACE))
            for n, change in enumerate(changes)
        ]


AcceptAnswer: TypeAlias = Accepted | Duplicate


def lane_id(integration_id: str, key: str) -> str:
    return f"{integration_id}:{key}"


_NO_PLACE: tuple[None, None, None] = (None, None, None)


def _accepted(change: Accept, place: tuple[Lane | None, str | None, str | None]) -> Accepted:
    journal = () if change.journal is None else (change.journal,)
    if change.lease is None or change.lane_key is not None:
        lane, lane_token, owner = place
        return Accepted(
            change.event, change.workflow_number, None, lane, lane_token, journal, change.caller_node, owner
        )
    run = LeasedRun(
        event=change.event,
        workflow_number=change.workflow_number,
        attempts=1,
        losses=0,
        lease_token=change.lease.token,
        lane=None,
        journal=journal,
        caller_node=change.caller_node,
    )
    return Accepted(change.event, change.workflow_number, run, node_id=change.lease.node_id)


# --- dedupe ----------------------------------------------------------------------------------------------------------


def _claim_dedupe_keys(connection: Connection, changes: Sequence[Accept]) -> dict[int, str]:
    """Positions of duplicates, each with the id of the first event.

    Keys are taken sorted, all in one statement, so that two processes can't wait for each other. Of several events
    with one key the first takes it; whether that is over for a later one is asked in a further round.
    """
    duplicates: dict[int, str] = {}
    waiting = [n for n, change in enumerate(changes) if change.dedupe is not None]
    while waiting:
        firsts: dict[tuple[str, str], int] = {}
        for n in waiting:
            firsts.setdefault(_dedupe_place(changes[n]), n)
        holders = _take_dedupe_keys(connection, [changes[n] for _, n in sorted(firsts.items())])
        later_ones: list[int] = []
        for n in waiting:
            event, (holder, until) = changes[n].event, holders[_dedupe_place(changes[n])]
            if holder != event.id and until <= event.received_at:
                later_ones.append(n)
            elif holder != event.id:
                duplicates[n] = holder
        waiting = later_ones
    return duplicates


def _dedupe_place(change: Accept) -> tuple[str, str]:
    assert change.dedupe is not None
    return (change.event.integration_id, change.dedupe.key)


def _take_dedupe_keys(connection: Connection, changes: list[Accept]) -> dict[tuple[str, str], tuple[str, Instant]]:
    """Take free keys, and those whose time is over; who has each now, and until when."""
    by_window: dict[float, list[tuple[Any, ...]]] = {}
    for change in changes:
        assert change.dedupe is not None
        until = later(change.event.received_at, change.dedupe.within)
        row = (*_dedupe_place(change), change.event.id, until)
        by_window.setdefault(change.dedupe.within, []).append(row)
    for within, rows in sorted(by_window.items()):
        _insert_dedupe.execute(connection, rows, window=later(0, within))
    places = [_dedupe_place(change) for change in changes]
    found = connection.execute(_HOLDERS, {"places": places})
    return {(row.integration_id, row.key): (row.event_id, row.expires_at) for row in found}


_HOLDERS = select(schema.dedupe).where(
    tuple_(schema.dedupe.c.integration_id, schema.dedupe.c.key).in_(bindparam("places", expanding=True))
)


def _replace_expired(statement: Insert) -> Any:
    """A key that is taken stays so, unless its time was over when the new event came."""
    taken, new = schema.dedupe.c, statement.excluded  # type: ignore[attr-defined]
    return statement.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["integration_id", "key"],
        set_={"event_id": new.event_id, "expires_at": new.expires_at},
        where=taken.expires_at <= new.expires_at - bindparam("window", type_=BigInteger),
    )


_insert_dedupe = RowInsert(schema.dedupe, _replace_expired)

# --- lanes -----------------------------------------------------------------------------------------------------------


def _take_places(connection: Connection, changes: Sequence[Accept]) -> dict[str, tuple[Lane, str | None, str | None]]:
    """Each ordered event's place in its lane, in the order of the changes, the lane's token if it is ours, its owner.

    The row of a lane is locked until the commit, so that sequences are handed out in the order of commits. Lanes are
    taken sorted, so that two processes can't wait for each other. A lane that nobody owns becomes this node's.
    """
    ordered = [change for change in changes if change.lane_key is not None]
    if not ordered:
        return {}
    counts = Counter((change.event.integration_id, str(change.lane_key)) for change in ordered)
    offers = {(c.event.integration_id, str(c.lane_key)): c.lease for c in ordered}
    now = max(change.event.received_at for change in ordered)
    rows = [_lane_row(place, count, now, offers[place]) for place, count in sorted(counts.items())]
    taken = {row.id: row for row in _advance_lanes.execute(connection, rows)}
    next_of = {lane_id(*place): taken[lane_id(*place)].last_sequence - count + 1 for place, count in counts.items()}
    places: dict[str, tuple[Lane, str | None, str | None]] = {}
    for change in ordered:
        name = lane_id(change.event.integration_id, str(change.lane_key))
        owner = taken[name].lease_node
        is_ours = change.lease is not None and owner == change.lease.node_id
        places[change.event.id] = (Lane(name, next_of[name]), taken[name].lease_token if is_ours else None, owner)
        next_of[name] += 1
    return places


def _lane_row(place: tuple[str, str], count: int, now: Instant, offer: Lease | None) -> tuple[Any, ...]:
    node_id, token = (offer.node_id, offer.token) if offer else (None, None)
    return (lane_id(*place), *place, count, now, node_id, token, False)


def _add_to_sequence(statement: Insert) -> Any:
    lane, new = schema.lane.c, statement.excluded  # type: ignore[attr-defined]
    return statement.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["id"],
        set_={
            "last_sequence": lane.last_sequence + new.last_sequence,
            "last_used_at": new.last_used_at,
            "lease_node": func.coalesce(lane.lease_node, new.lease_node),
            "lease_token": func.coalesce(lane.lease_token, new.lease_token),
            "dormant": new.dormant,
        },
    ).returning(lane.id, lane.last_sequence, lane.lease_node, lane.lease_token)


_advance_lanes = RowInsert(schema.lane, _add_to_sequence)

# --- rows ------------------------------------------------------------------------------------------------------------

_insert_events = RowInsert(schema.event)
_insert_runs = RowInsert(schema.run)


def _event_row(event: Event) -> tuple[Any, ...]:
    request = event.request
    return (
        event.id,
        event.integration_id,
        event.received_at,
        request.method,
        request.path,
        encode(request.query).decode(),
        encode(request.headers).decode(),
        request.content_type,
        request.key_id,
        request.source_ip,
        event.replay_of,
        event.emitted_by,
        event.depth,
        len(request.body),
        request.body,
    )


def event_of(row: Any) -> Event:
    """The event of a row of `event`."""
    request = Request(
        method=row.method,
        path=row.path,
        query=_decode_pairs(row.query),
        headers=_decode_pairs(row.headers),
        content_type=row.content_type,
        body=bytes(row.body),
        key_id=row.key_id,
        source_ip=row.source_ip,
    )
    return Event(row.id, row.integration_id, row.received_at, request, row.replay_of, row.emitted_by, row.depth)


_decode_pairs = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


def _run_row(change: Accept, lane: Lane | None) -> tuple[Any, ...]:
    event = change.event
    lease = change.lease if lane is None else None
    if change.finished:
        state, started_at, finished_at = RunState.SUCCEEDED, event.received_at, event.received_at
    elif lease is not None:
        state, started_at, finished_at = RunState.RUNNING, event.received_at, None
    else:
        state, started_at, finished_at = RunState.QUEUED, None, None
    return (
        event.id,
        event.integration_id,
        state.value,
        None,
        change.workflow_number,
        lane.id if lane else None,
        lane.sequence if lane else None,
        event.received_at,
        event.received_at,
        started_at,
        finished_at,
        1 if lease is not None or change.finished else 0,
        0,
        lease.node_id if lease else None,
        lease.token if lease else None,
        False,
        None,
        None,
        None,
        change.caller_node,
    )
