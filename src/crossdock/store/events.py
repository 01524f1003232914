"""Events as people look at them: what a filter says, one event with its whole story, its body, and counts.

Ids begin with the time of their making, so a time range is a range of the primary key. `event_search` makes lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    LargeBinary,
    Row,
    Select,
    bindparam,
    exists,
    func,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from crossdock.model.delivery import DeliveryKind
from crossdock.model.event import Event
from crossdock.model.outcome import Result
from crossdock.model.states import DeliveryState, RunState, WaitingFor
from crossdock.model.time import SECOND, Instant
from crossdock.store import schema
from crossdock.store.accept import event_of
from crossdock.store.lanes import head_of
from crossdock.store.step_lines import StepLine, read_step_lines

event, run, delivery, integration, api_key = (
    schema.event,
    schema.run,
    schema.delivery,
    schema.integration,
    schema.api_key,
)

SEARCHED_BYTES = 1024 * 1024
"""Bodies over this are not searched."""
RELATIVES = 100
"""How many replays, or emitted events, of one event are told by their ids."""
STATS_ROWS = 50_000
CLOCK_STEP: Instant = 5 * SECOND
"""How far an id's time and `received_at` may lie apart: a clock may be set between the two."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a list shows. `search` is looked for in id, path and body, `key` is an API key's id or label."""

    integration_id: str | None = None
    states: tuple[RunState, ...] = ()
    search: str = ""
    key: str | None = None
    received_after: Instant | None = None
    received_before: Instant | None = None
    has_failed_reply: bool | None = None
    method: str | None = None
    replay_of: str | None = None

    @property
    def asks_events(self) -> bool:
        """Whether the rows of events themselves have to be looked at."""
        return self._asks_columns or self.received_after is not None or self.received_before is not None

    @property
    def asks_rows(self) -> bool:
        """Whether ids, integration and time do not say all: rows have to be looked at, one by one."""
        return self._asks_columns or bool(self.states)

    @property
    def _asks_columns(self) -> bool:
        exact = (self.key, self.method, self.replay_of, self.has_failed_reply)
        return bool(self.search) or any(one is not None for one in exact)


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event in a list, without its body."""

    id: str
    integration_id: str
    integration_name: str
    received_at: Instant
    method: str
    path: str
    content_type: str
    size: int
    key_label: str | None
    source_ip: str
    replay_of: str | None
    emitted_by: str | None
    depth: int
    run: RunRow


@dataclass(frozen=True, slots=True)
class RunRow:
    """How far an event's run is."""

    state: RunState
    waiting_for: WaitingFor | None
    workflow_number: int
    lane_id: str | None
    due_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    attempts: int
    cancel_requested: bool
    error_kind: str | None
    error_message: str | None
    error_step: str | None


def event_ids(wanted: EventFilter) -> Select[Any]:
    """Ids to look at, straight from an index."""
    query = select(event.c.id)
    if wanted.integration_id is not None:
        query = query.where(event.c.integration_id == wanted.integration_id)
    if wanted.received_after is not None:
        query = query.where(event.c.id >= first_id_at(wanted.received_after - CLOCK_STEP))
    if wanted.received_before is not None:
        query = query.where(event.c.id < first_id_at(wanted.received_before + CLOCK_STEP))
    return query


def first_id_at(moment: Instant, prefix: str = "evt") -> str:
    """No id of this moment or later sorts before this text: UUIDv7 begins with milliseconds (RFC 9562)."""
    return f"{prefix}_{max(moment, 0) // 1_000:012x}"


def conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    """What the ids alone do not say; for a query over `joined` tables."""
    found: list[ColumnElement[bool]] = []
    if wanted.states:
        found.append(run.c.state.in_([state.value for state in wanted.states]))
    if wanted.received_after is not None:
        found.append(event.c.received_at >= wanted.received_after)
    if wanted.received_before is not None:
        found.append(event.c.received_at < wanted.received_before)
    if wanted.method is not None:
        found.append(event.c.method == wanted.method)
    if wanted.replay_of is not None:
        found.append(event.c.replay_of == wanted.replay_of)
    if wanted.key is not None:
        found.append((event.c.key_id == wanted.key) | (api_key.c.label == wanted.key))
    if wanted.has_failed_reply is not None:
        found.append(_has_failed_reply() if wanted.has_failed_reply else ~_has_failed_reply())
    if wanted.search:
        found.append(_contains(wanted.search))
    return found


def _has_failed_reply() -> ColumnElement[bool]:
    failed = (DeliveryState.FAILED.value, DeliveryState.EXPIRED.value)
    return exists().where(
        delivery.c.event_id == event.c.id,
        delivery.c.kind == DeliveryKind.REPLY.value,
        delivery.c.state.in_(failed),
    )


def _contains(text: str) -> ColumnElement[bool]:
    in_body = _Position(event.c.body, bindparam(None, text.encode(), type_=LargeBinary)) > 0
    return (
        event.c.id.contains(text, autoescape=True)
        | event.c.path.contains(text, autoescape=True)
        | ((event.c.size <= SEARCHED_BYTES) & in_body)
    )


class _Position(GenericFunction[int]):
    """Where bytes stand in bytes, from 1; 0 when they do not."""

    inherit_cache = True
    name = "byte_position"


@compiles(_Position, "sqlite")
def _sqlite_position(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _postgresql_position(element: Any, compiler: Any, **options: Any) -> str:
    whole, part = (compiler.process(clause, **options) for clause in element.clauses)
    return f"position(CAST({part} AS BYTEA) IN {whole})"


def select_lines(events: FromClause = event) -> Select[Any]:
    """A query for `EventLine`s."""
    columns = [column for column in event.columns if column.name not in ("body", "query", "headers")]
    names = (integration.c.name.label("integration_name"), api_key.c.label.label("key_label"))
    return select(*columns, *_RUN_COLUMNS, *names).select_from(joined(events))


def joined(events: FromClause) -> FromClause:
    """Events with what belongs to each: run, integration, API key."""
    # Outer joins, although every event has a run and an integration: SQLite keeps to their order. It would otherwise
    # begin with the integrations, and sort all of their events.
    return (
        events.join(run, run.c.event_id == event.c.id, isouter=True)
        .join(integration, integration.c.id == event.c.integration_id, isouter=True)
        .join(api_key, api_key.c.id == event.c.key_id, isouter=True)
    )


def is_in(workspace_id: str) -> ColumnElement[bool]:
    """Whether the event's integration is one of the workspace's."""
    # `coalesce` keeps SQLite from taking the outer join for an inner one, which it might begin with
    return func.coalesce(integration.c.workspace_id, "") == workspace_id


_RUN_FIELDS = tuple(RunRow.__dataclass_fields__)
_RUN_COLUMNS = [run.c[name].label(f"run_{name}") for name in _RUN_FIELDS]


def line_of(row: Row[Any]) -> EventLine:
    """The line of a row that `select_lines` gave."""
    return EventLine(
        id=row.id,
        integration_id=row.integration_id,
        integration_name=row.integration_name,
        received_at=row.received_at,
        method=row.method,
        path=row.path,
        content_type=row.content_type,
        size=row.size,
        key_label=row.key_label,
        source_ip=row.source_ip,
        replay_of=row.replay_of,
        emitted_by=row.emitted_by,
        depth=row.depth,
        run=_run_row(row),
    )


def _run_row(row: Row[Any]) -> RunRow:
    values = {name: row._mapping[f"run_{name}"] for name in _RUN_FIELDS}
    waiting_for = values["waiting_for"]
    return RunRow(
        **{
            **values,
            "state": RunState(values["state"]),
            "waiting_for": WaitingFor(waiting_for) if waiting_for else None,
        }
    )


# --- one event -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try to send a delivery. Header fields are JSON text of pairs."""

    number: int
    started_at: Instant
    finished_at: Instant
    request_headers: str
    status: int | None
    response_headers: str
    response_body: bytes
    error: str | None
    request_body: bytes | None = None
    """Of a notification; that of a reply can be made anew from its event."""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    id: str
    kind: DeliveryKind
    integration_id: str
    event_id: str | None
    state: DeliveryState
    created_at: Instant
    due_at: Instant
    expires_at: Instant | None
    finished_at: Instant | None
    attempts: int
    last_error: str | None
    tries: tuple[AttemptRow, ...] = ()
    webhook_id: str | None = None


@dataclass(frozen=True, slots=True)
class Relatives:
    """Events that came of another one: the ids of the oldest, and how many there are."""

    ids: list[str]
    total: int


@dataclass(frozen=True, slots=True)
class EventStory:
    """All that is known of one event."""

    line: EventLine
    event: Event
    steps: list[StepLine]
    """In the order in which they were first heard of."""
    result: Result | None
    replies: tuple[DeliveryRow, ...]
    """Oldest first; the last one counts."""
    lane_head: str | None
    """The event that is the turn of the run's lane; None outside of lanes, and when it has ended."""
    emitted: Relatives
    """The events that its workflow made."""
    replays: Relatives


def show_event(connection: Connection, workspace_id: str, event_id: str) -> EventStory | None:
    """The whole story of an event; None when the workspace has no such one."""
    query = select_lines().where(event.c.id == event_id, is_in(workspace_id))
    row = connection.execute(query).first()
    if row is None:
        return None
    whole = event_of(connection.execute(select(event).where(event.c.id == event_id)).one())
    steps, result = read_step_lines(connection, event_id)
    is_queued = row.run_state == RunState.QUEUED.value and row.run_lane_id is not None
    return EventStory(
        line=line_of(row),
        event=whole,
        steps=steps,
        result=result,
        replies=tuple(deliveries_of(connection, delivery.c.event_id == event_id)),
        lane_head=head_of(connection, row.run_lane_id) if is_queued else None,
        emitted=_relatives(connection, event.c.emitted_by == event_id),
        replays=_relatives(connection, event.c.replay_of == event_id),
    )


def _relatives(connection: Connection, condition: ColumnElement[bool]) -> Relatives:
    ids = list(connection.execute(select(event.c.id).where(condition).order_by(event.c.id).limit(RELATIVES)).scalars())
    if len(ids) < RELATIVES:
        return Relatives(ids, len(ids))
    return Relatives(ids, connection.execute(select(func.count()).select_from(event).where(condition)).scalar_one())


def read_steps(connection: Connection, workspace_id: str, event_id: str) -> list[StepLine] | None:
    """The steps of an event's run; None when the workspace has no such event."""
    query = select(event.c.id).join(integration, integration.c.id == event.c.integration_id)
    known = query.where(event.c.id == event_id, integration.c.workspace_id == workspace_id)
    return None if connection.execute(known).first() is None else read_step_lines(connection, event_id)[0]


def show_delivery(connection: Connection, workspace_id: str, delivery_id: str) -> DeliveryRow | None:
    """A delivery with all its tries; None when the workspace has no such one."""
    own = select(integration.c.id).where(integration.c.workspace_id == workspace_id)
    webhook = schema.notification_webhook
    own_webhooks = select(webhook.c.id).where(webhook.c.workspace_id == workspace_id)
    is_own = delivery.c.integration_id.in_(own) | delivery.c.webhook_id.in_(own_webhooks)
    condition = (delivery.c.id == delivery_id) & is_own
    return next(iter(deliveries_of(connection, condition)), None)


def deliveries_of(connection: Connection, condition: ColumnElement[bool]) -> list[DeliveryRow]:
    """Deliveries with all their tries, the oldest first."""
    rows = connection.execute(select(delivery).where(condition).order_by(delivery.c.id)).all()
    tries = _tries(connection, [row.id for row in rows])
    return [_delivery(row, tries.get(row.id, ())) for row in rows]


def _delivery(row: Row[Any], tries: Sequence[AttemptRow] = ()) -> DeliveryRow:
    return DeliveryRow(
        id=row.id,
        kind=DeliveryKind(row.kind),
        integration_id=row.integration_id,
        event_id=row.event_id,
        state=DeliveryState(row.state),
        created_at=row.created_at,
        due_at=row.due_at,
        expires_at=row.expires_at,
        finished_at=row.finished_at,
        attempts=row.attempts,
        last_error=row.last_error,
        tries=tuple(tries),
        webhook_id=row.webhook_id,
    )


def _tries(connection: Connection, delivery_ids: Sequence[str]) -> dict[str, list[AttemptRow]]:
    table = schema.attempt
    query = select(table).where(table.c.delivery_id.in_(delivery_ids)).order_by(table.c.delivery_id, table.c.number)
    found: dict[str, list[AttemptRow]] = {}
    for row in connection.execute(query):
        values = dict(row._mapping)
        owner = values.pop("delivery_id")
        found.setdefault(owner, []).append(AttemptRow(**{**values, "response_body": bytes(row.response_body)}))
    return found


def reply_states(connection: Connection, event_ids: Sequence[str]) -> dict[str, DeliveryState]:
    """The state of the newest reply of each of these events; those without one are missing."""
    query = (
        select(delivery.c.event_id, delivery.c.state)
        .where(delivery.c.event_id.in_(event_ids), delivery.c.kind == DeliveryKind.REPLY.value)
        .order_by(delivery.c.id)
    )
    return {row.event_id: DeliveryState(row.state) for row in connection.execute(query)}


def read_body(connection: Connection, workspace_id: str, event_id: str) -> tuple[str, bytes] | None:
    """An event's content type and body, byte for byte; None when the workspace has no such event."""
    query = (
        select(event.c.content_type, event.c.body)
        .join(integration, integration.c.id == event.c.integration_id)
        .where(event.c.id == event_id, integration.c.workspace_id == workspace_id)
    )
    row = connection.execute(query).first()
    return None if row is None else (row.content_type, bytes(row.body))


# --- counts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunTimes:
    """When a run was accepted and how it ended, for counting."""

    accepted_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    state: RunState


def run_times(connection: Connection, integration_id: str, start: Instant, end: Instant) -> list[RunTimes]:
    """The runs of calls accepted in a time, newest first, STATS_ROWS at most."""
    query = (
        select(run.c.accepted_at, run.c.started_at, run.c.finished_at, run.c.state)
        .join(event, event.c.id == run.c.event_id)
        .where(
            event.c.integration_id == integration_id,
            event.c.id >= first_id_at(start - CLOCK_STEP),
            event.c.id < first_id_at(end + CLOCK_STEP),
            run.c.accepted_at >= start,
            run.c.accepted_at < end,
        )
        .order_by(event.c.id.desc())
        .limit(STATS_ROWS)
    )
    return [
        RunTimes(row.accepted_at, row.started_at, row.finished_at, RunState(row.state))
        for row in connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Rejection:
    """How often calls were refused for one reason, and when the last time."""

    reason: str
    count: int
    last_at: Instant


def rejections(connection: Connection, integration_id: str) -> list[Rejection]:
    """The refused calls of an integration by reason, most frequent first."""
    table = schema.rejection
    query = (
        select(table.c.reason, table.c["count"], table.c.last_at)
        .where(table.c.integration_id == integration_id)
        .order_by(table.c["count"].desc(), table.c.reason)
    )
    return [Rejection(**row._mapping) for row in connection.execute(query)]
