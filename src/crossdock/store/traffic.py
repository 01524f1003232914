"""Traffic by slots of time: counted from the runs themselves, off the way of the events.

Nothing is written when a call comes or a run ends. Once a slot is over, its runs are counted; as long as some of them
have not ended, it is counted anew when their number has changed, which the small indexes of unfinished runs tell. A
slot is final when all of its runs have ended, because ended runs never change. Whoever counts and whenever, the same
rows give the same counts, and a count that is older than what stands there changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.sql.dml import Insert

from crossdock.model.time import SECOND, Instant
from crossdock.model.traffic import BOUNDS_MS, HOUR, SLOT, Counts, floor_to
from crossdock.store import schema
from crossdock.store.events import CLOCK_STEP, first_id_at
from crossdock.store.fleet import UNFINISHED_KINDS, integration_names
from crossdock.store.statements import RowInsert

T = TypeVar("T")

run, traffic = schema.run, schema.traffic

Place: TypeAlias = tuple[str, Instant]
"""An integration's id, and the beginning of a slot."""

_encode = msgspec.json.Encoder().encode
_decode_slots = msgspec.json.Decoder(list[tuple[int, int, int, int, int, int, dict[int, int]]]).decode

# --- counting runs ---------------------------------------------------------------------------------------------------


def count_runs(
    connection: Connection, start: Instant, end: Instant, width: Instant, integration_ids: Sequence[str] | None = None
) -> dict[Place, Counts]:
    """What became of the calls that were accepted in a time so far, by integration and slot of this width.

    Reads every run of that time: whoever asks about a long one asks bit by bit.
    """
    query = _COUNT if integration_ids is None else _COUNT_SOME
    parameters: dict[str, Any] = {
        "first_id": first_id_at(start - CLOCK_STEP),
        "last_id": first_id_at(end + CLOCK_STEP),
        "start": start,
        "end": end,
        "width": width,
    }
    if integration_ids is not None:
        parameters["ids"] = list(integration_ids)
    found: dict[Place, Counts] = defaultdict(Counts)
    for slot, integration_id, state, bucket, count in connection.execute(query, parameters):
        found[integration_id, int(slot) * width].add_runs(state, int(bucket), int(count))
    return dict(found)


def _bucket(micros: ColumnElement[int], first: int = 0, last: int = len(BOUNDS_MS)) -> ColumnElement[int]:
    """The bucket of a duration, found by halving: six comparisons, not forty-eight."""
    if first == last:
        return literal_column(str(first), Integer)
    middle = (first + last) // 2
    is_below = micros < literal_column(str(round(BOUNDS_MS[middle] * 1_000)), BigInteger)
    return case((is_below, _bucket(micros, first, middle)), else_=_bucket(micros, middle + 1, last))


def _counting(*conditions: ColumnElement[bool]) -> Select[Any]:
    some = (
        select(
            (run.c.accepted_at // bindparam("width", type_=BigInteger)).label("slot"),
            run.c.integration_id,
            run.c.state,
            _bucket(run.c.finished_at - run.c.accepted_at).label("bucket"),
        )
        .where(
            run.c.event_id >= bindparam("first_id", type_=String),
            run.c.event_id < bindparam("last_id", type_=String),
            run.c.accepted_at >= bindparam("start", type_=BigInteger),
            run.c.accepted_at < bindparam("end", type_=BigInteger),
            *conditions,
        )
        .subquery()
    )
    return select(*some.c, func.count()).group_by(*some.c)


_COUNT = _counting()
_COUNT_SOME = _counting(run.c.integration_id.in_(bindparam("ids", expanding=True, type_=String)))


def next_acceptance(connection: Connection, start: Instant) -> Instant | None:
    """When the first call was accepted that came at an instant or later; None when none has."""
    query = select(run.c.accepted_at).where(
        run.c.event_id >= first_id_at(start - CLOCK_STEP), run.c.accepted_at >= start
    )
    return connection.execute(query.order_by(run.c.event_id).limit(1)).scalar()


def count_unfinished_runs(connection: Connection, before: Instant) -> dict[Place, int]:
    """How many runs of calls that were accepted before an instant have not ended, by integration and slot."""
    found: dict[Place, int] = defaultdict(int)
    for query in _UNFINISHED:
        for slot, integration_id, count in connection.execute(query, {"before": before}):
            found[integration_id, int(slot) * SLOT] += int(count)
    return dict(found)


def _unfinished(kind: ColumnElement[bool]) -> Select[Any]:
    slot = (run.c.accepted_at // literal_column(str(SLOT), BigInteger)).label("slot")
    is_old = run.c.accepted_at < bindparam("before", type_=BigInteger)
    some = select(slot, run.c.integration_id).where(kind, is_old).subquery()
    return select(*some.c, func.count()).group_by(*some.c)


_UNFINISHED = [_unfinished(kind) for kind in UNFINISHED_KINDS]

# --- what is kept ----------------------------------------------------------------------------------------------------


def counted_to(connection: Connection) -> Instant | None:
    """Calls that were accepted before this instant are counted; None before the first count."""
    value = connection.execute(select(schema.setting.c.value).where(schema.setting.c.name == _CURSOR)).scalar()
    return None if value is None else int(value)


_CURSOR = "traffic counted to"
_SET_CURSOR = text(
    "INSERT INTO setting (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value "
    "WHERE CAST(setting.value AS BIGINT) < CAST(excluded.value AS BIGINT)"
)


def put_traffic(
    connection: Connection, counted: Mapping[Instant, Mapping[Place, Counts]], to: Instant | None = None
) -> None:
    """Keep what was counted, by width and place, and that everything before `to` is counted.

    A count that knows of fewer calls, or of fewer ends, than what stands there is older, or its events have begun to
    be forgotten: it changes nothing. Refused calls are not touched.
    """
    rows = [_row(width, place, counts) for width, places in counted.items() for place, counts in places.items()]
    _put.execute(connection, sorted(rows))
    if to is not None:
        connection.execute(_SET_CURSOR, {"name": _CURSOR, "value": str(to)})


def _row(width: Instant, place: Place, counts: Counts) -> tuple[Any, ...]:
    durations = _encode(dict(sorted(counts.durations.items()))).decode()
    ends = (counts.succeeded, counts.failed, counts.canceled)
    return (width // SECOND, *place, counts.accepted, *ends, counts.rejected, durations)


_COUNTED = ("accepted", "succeeded", "failed", "canceled", "durations")


def _or_newer(statement: Insert) -> Any:
    kept, new = traffic.c, statement.excluded  # type: ignore[attr-defined]
    return statement.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["width", "integration_id", "slot"],
        set_={name: new[name] for name in _COUNTED},
        where=(new.accepted >= kept.accepted)
        & (new.succeeded + new.failed + new.canceled >= kept.succeeded + kept.failed + kept.canceled),
    )


_put = RowInsert(traffic, _or_newer)


def add_refused(connection: Connection, refused: Mapping[Place, int]) -> None:
    """Add refused calls to their slots, by integration and moment."""
    rows: dict[tuple[Instant, Place], int] = defaultdict(int)
    for (integration_id, moment), count in refused.items():
        for width in (SLOT, HOUR):
            rows[width, (integration_id, floor_to(moment, width))] += count
    added = [_row(width, place, Counts(rejected=count)) for (width, place), count in sorted(rows.items())]
    _add.execute(connection, added)


def _added(statement: Insert) -> Any:
    new = statement.excluded  # type: ignore[attr-defined]
    return statement.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["width", "integration_id", "slot"], set_={"rejected": traffic.c.rejected + new.rejected}
    )


_add = RowInsert(traffic, _added)


def open_slots(connection: Connection, width: Instant, since: Instant) -> dict[Place, int]:
    """How many runs had not ended when each slot was counted last; slots that are final are left out."""
    query = select(traffic.c.integration_id, traffic.c.slot, _UNFINISHED_THEN)
    rows = connection.execute(query.where(_IS_OPEN, traffic.c.width == width // SECOND, traffic.c.slot >= since))
    return {(row[0], row[1]): int(row[2]) for row in rows}


# The very words of the index's condition.
_IS_OPEN = text("accepted > succeeded + failed + canceled")
_UNFINISHED_THEN = traffic.c.accepted - traffic.c.succeeded - traffic.c.failed - traffic.c.canceled


def close_slot(connection: Connection, width: Instant, place: Place, unfinished: int) -> None:
    """Take over how many runs of a slot have not ended, where its events have begun to be forgotten: what had ended and
    was forgotten before it could be counted is left out.
    """
    known = traffic.c
    ended = known.succeeded + known.failed + known.canceled
    connection.execute(
        update(traffic)
        .where(known.width == width // SECOND, known.integration_id == place[0], known.slot == place[1])
        .values(accepted=ended + unfinished)
    )


# --- reading ---------------------------------------------------------------------------------------------------------


def kept_slots(
    connection: Connection, integration_ids: Sequence[str], width: Instant, start: Instant, end: Instant
) -> tuple[Instant, dict[Place, Counts]]:
    """Up to when everything is counted, and what is kept for the slots of this width that begin in a time."""
    return _as_of(connection, lambda: read_slots(connection, integration_ids, width, start, end))


def read_slots(
    connection: Connection, integration_ids: Sequence[str], width: Instant, start: Instant, end: Instant
) -> dict[Place, Counts]:
    """What is kept of integrations for the slots of this width that begin in a time."""
    times = {"width": width // SECOND, "start": start, "end": end}
    found: dict[Place, Counts] = {}
    for part in _some(integration_ids):
        for integration_id, slots in connection.execute(_SLOTS, {"ids": list(part), **times}):
            for slot, accepted, succeeded, failed, canceled, rejected, durations in _decode_slots(f"[{slots}]"):
                found[integration_id, slot] = Counts(accepted, succeeded, failed, canceled, rejected, durations)
    return found


def _slot_text() -> ColumnElement[str]:
    """A slot as a JSON array: its beginning, and what `Counts` is made of in its order."""
    whole: ColumnElement[str] = literal_column("'['", String)
    for name in ("slot", *_SUMS):
        whole = whole + cast(traffic.c[name], String) + ","
    return whole + traffic.c.durations + "]"


_SUMS = ("accepted", "succeeded", "failed", "canceled", "rejected")
_IN_TIME = (
    traffic.c.width == bindparam("width", type_=Integer),
    traffic.c.slot >= bindparam("start", type_=BigInteger),
    traffic.c.slot < bindparam("end", type_=BigInteger),
)
# One row for each integration with all of its slots as text: rows cost more than what is in them.
_SLOTS = (
    select(traffic.c.integration_id, func.aggregate_strings(_slot_text(), ","))
    .where(traffic.c.integration_id.in_(bindparam("ids", expanding=True, type_=String)), *_IN_TIME)
    .group_by(traffic.c.integration_id)
)


@dataclass(frozen=True, slots=True)
class KeptSums:
    """What is kept of all integrations of a workspace together, by the beginning of each step; without durations."""

    counted_to: Instant
    sums: Mapping[Instant, Counts]
    names: Mapping[str, str]
    """Of the integrations, by id."""


def kept_sums(
    connection: Connection, workspace_id: str, width: Instant, step: Instant, times: tuple[Instant, Instant]
) -> KeptSums:
    """The counts of the slots of this width that begin in a time."""
    given = {"workspace": workspace_id, "width": width // SECOND, "start": times[0], "end": times[1]}
    to, rows = _as_of(connection, lambda: connection.execute(_TOGETHER, given).all())
    sums: dict[Instant, Counts] = {}
    for slot, accepted, succeeded, failed, canceled, rejected in rows:
        one = Counts(int(accepted), int(succeeded), int(failed), int(canceled), int(rejected))
        sums.setdefault(floor_to(slot, step), Counts()).add(one)
    return KeptSums(to, sums, integration_names(connection, workspace_id))


# By the slots as they are: reckoning the step of each row, or joining it with its owner, costs as much as reading it.
_OWN = select(schema.integration.c.id).where(schema.integration.c.workspace_id == bindparam("workspace", type_=String))
_TOGETHER = (
    select(traffic.c.slot, *(func.sum(traffic.c[name]) for name in _SUMS))
    .where(traffic.c.integration_id.in_(_OWN), *_IN_TIME)
    .group_by(traffic.c.slot)
)


def _as_of(connection: Connection, ask: Callable[[], T]) -> tuple[Instant, T]:
    """An answer, and up to when everything was counted as it was given: each statement reads as of its own moment."""
    to = counted_to(connection)
    for _ in range(ASKED_AGAIN):
        answer, before = ask(), to
        to = counted_to(connection)
        if to == before:
            break
    return to or 0, answer


ASKED_AGAIN = 3
"""While much is counted at once, it goes on in the meantime: what is shown then misses what comes next."""


def _some(items: Sequence[str]) -> Iterable[Sequence[str]]:
    """Some ids at a time: a statement has a limited number of parameters."""
    for start in range(0, len(items), IDS_AT_ONCE):
        yield items[start : start + IDS_AT_ONCE]


IDS_AT_ONCE = 500

# --- forgetting ------------------------------------------------------------------------------------------------------


def forget_traffic(connection: Connection, width: Instant, integration_id: str, before: Instant) -> int:
    """Delete the slots of an integration that began before an instant; how many."""
    known = traffic.c
    is_old = (known.width == width // SECOND, known.integration_id == integration_id, known.slot < before)
    return connection.execute(delete(traffic).where(*is_old)).rowcount


def integrations_with_traffic(connection: Connection) -> list[str]:
    """For which integrations something is kept, those that were removed included."""
    return list(connection.execute(_WITH_TRAFFIC).scalars())


_WITH_TRAFFIC = text(
    # Hops from one integration to the next in the primary key, however many slots each of them has.
    """
    WITH RECURSIVE seen(id) AS (
        SELECT min(integration_id) FROM traffic WHERE width = 3600
        UNION ALL
        SELECT (SELECT min(integration_id) FROM traffic WHERE width = 3600 AND integration_id > seen.id)
        FROM seen WHERE seen.id IS NOT NULL
    )
    SELECT id FROM seen WHERE id IS NOT NULL
    """
)
