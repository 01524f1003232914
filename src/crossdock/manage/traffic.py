"""Traffic over time: how many calls came, what became of them, how many were refused, how long they took.

What is over was counted in slots (`watch/traffic.py`); what came since is counted when somebody looks. Calls stand
where they were accepted: a run that ends hours later changes a point of the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.events import EventQuery, read_filter
from crossdock.manage.open_traffic import OpenTraffic
from crossdock.manage.past_traffic import PastTraffic
from crossdock.model.errors import FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant, format_duration, format_instant
from crossdock.model.traffic import HOUR, SLOT, Counts, floor_to, percentile_ms, total
from crossdock.store import Store
from crossdock.store.integrations import integration_exists
from crossdock.store.traffic import kept_slots

Span: TypeAlias = Literal["PT1H", "PT24H", "P7D", "P30D"]
SPANS: tuple[Span, ...] = get_args(Span)
RANKS = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Scale:
    """How a span is cut: points of `step`, summed from slots of `width`; the last of them is going on."""

    points: int
    step: Instant
    width: Instant

    def start(self, now: Instant) -> Instant:
        return floor_to(now, self.step) - (self.points - 1) * self.step


SCALES: Mapping[Span, Scale] = {
    "PT1H": Scale(12, SLOT, SLOT),
    "PT24H": Scale(96, 3 * SLOT, SLOT),
    "P7D": Scale(168, HOUR, HOUR),
    "P30D": Scale(120, 6 * HOUR, HOUR),
}
DAY = 24 * HOUR
FINE_KEPT = 48 * HOUR
"""Slots of five minutes are there for so long at least."""
STEPS = (SLOT, 3 * SLOT, 6 * SLOT, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY)
"""How wide a bar of a histogram may be."""
MOST_POINTS = 100
LINE = Scale(24, HOUR, HOUR)
"""The small picture of an integration in a list: 24 hours."""


class Traffic:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.open = OpenTraffic(store, clock)
        self.past = PastTraffic(store, clock)

    async def of_integration(self, actor: Actor, integration_id: str, span: str = "PT24H") -> Json:
        """Counts and percentiles of an integration's last hour, 24 hours, 7 or 30 days, point by point."""
        actor.require("viewer")
        scale = scale_of(span)
        if not await self._store.read(integration_exists, actor.workspace_id, integration_id):
            raise NotFound(f"there is no integration {integration_id[:64]} here")
        lines = await self.lines([integration_id], scale)
        return {"span": span, **lines[integration_id].document(with_percentiles=True)}

    async def of_workspace(self, actor: Actor, span: str = "PT24H") -> Json:
        """Counts of all integrations of the workspace together, point by point."""
        actor.require("viewer")
        scale = scale_of(span)
        line = await self._together(actor, scale, scale.start(self._clock()))
        return {"span": span, **line.document(with_percentiles=False)}

    async def histogram(self, actor: Actor, query: EventQuery) -> Json:
        """Counts of the events that a list is asked for, point by point: by its integration and its times, the last 24
        hours where it names none. `left_out` are the conditions that the counts do not know: they show all.
        """
        actor.require("viewer")
        wanted, now = read_filter(query), self._clock()
        end = now if wanted.received_before is None else wanted.received_before
        begin = end - DAY if wanted.received_after is None else wanted.received_after
        scale = _scale_between(begin, end, now)
        start = floor_to(begin, scale.step)
        if wanted.integration_id is None:
            line = await self._together(actor, scale, start)
        elif await self._store.read(integration_exists, actor.workspace_id, wanted.integration_id):
            line = (await self.lines([wanted.integration_id], scale, start))[wanted.integration_id]
        else:
            line = Line(scale, start, {})
        left_out = [name for name in _UNCOUNTED if getattr(query, name) not in (None, "")]
        return {**line.document(with_percentiles=False), "left_out": left_out}

    async def _together(self, actor: Actor, scale: Scale, start: Instant) -> Line:
        await self.open.look()
        times = (start, start + scale.points * scale.step)
        kept = await self.past.sums(actor.workspace_id, scale.width, scale.step, times)
        sums = dict(kept.sums)
        for (integration_id, step), counts in self.open.slots(scale.step, kept.counted_to).items():
            if integration_id in kept.names and start <= step < times[1]:
                sums.setdefault(step, Counts()).add(counts)
        return Line(scale, start, sums)

    async def lines(
        self, integration_ids: Sequence[str], scale: Scale = LINE, start: Instant | None = None
    ) -> dict[str, Line]:
        """The counts of integrations, each with all of its points, up to now where no start is given.

        Whoever calls has checked whose they are.
        """
        await self.open.look()
        start = scale.start(self._clock()) if start is None else start
        end = start + scale.points * scale.step
        to, slots = await self._store.read(kept_slots, integration_ids, scale.width, start, end)
        by_owner: dict[str, dict[Instant, Counts]] = {integration_id: {} for integration_id in integration_ids}
        for (integration_id, slot), counts in (*slots.items(), *self.open.slots(scale.width, to).items()):
            points = by_owner.get(integration_id)
            if points is None or not start <= slot < end:
                continue
            at = floor_to(slot, scale.step)
            if at in points:
                points[at].add(counts)
            else:  # it was made for this line: nobody else adds to it
                points[at] = counts
        return {integration_id: Line(scale, start, points) for integration_id, points in by_owner.items()}


@dataclass(frozen=True, slots=True)
class Line:
    """Counts by the beginnings of points; points without any are left out."""

    scale: Scale
    start: Instant
    points: Mapping[Instant, Counts]
    total: Counts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", total(self.points.values()))

    def document(self, *, with_percentiles: bool) -> Json:
        """Lists of equal length, one number for each point, oldest first."""
        scale = self.scale
        points = [self.points.get(self.start + n * scale.step, _NOTHING) for n in range(scale.points)]
        document = {
            "start": format_instant(self.start),
            "interval": format_duration(scale.step / SECOND),
            **_columns(points),
            "total": counts_document(self.total, with_percentiles=with_percentiles),
        }
        if with_percentiles:
            durations = [percentiles(point) for point in points]
            document["duration_ms"] = {f"p{rank}": [each[f"p{rank}"] for each in durations] for rank in RANKS}
        return document


_UNCOUNTED = ("q", "key", "has_failed_reply", "method", "replay_of")
"""Conditions of a list of events that counts know nothing of."""


def _scale_between(begin: Instant, end: Instant, now: Instant) -> Scale:
    """About a hundred points at most; by the hour at least where only hours are kept."""
    if end <= begin:
        message = "must be after received_after"
        raise Invalid(
            f"the filter is not acceptable: received_before {message}", (FieldError("received_before", message),)
        )
    is_fine = begin > now - FINE_KEPT
    for step in STEPS:
        if (is_fine or step >= HOUR) and (end - begin) <= MOST_POINTS * step:
            break
    points = -(-(end - floor_to(begin, step)) // step)
    return Scale(min(points, 2 * MOST_POINTS), step, SLOT if is_fine else HOUR)


def _columns(points: Iterable[Counts]) -> dict[str, list[int]]:
    """The numbers of all points, name by name."""
    rows = [(one.accepted, one.succeeded, one.failed, one.canceled, one.unfinished, one.rejected) for one in points]
    return {name: list(numbers) for name, numbers in zip(COUNTED, zip(*rows, strict=True), strict=True)}


_NOTHING = Counts()
COUNTED = ("accepted", "succeeded", "failed", "canceled", "unfinished", "rejected")


def counts_document(counts: Counts, *, with_percentiles: bool = True) -> Json:
    """Counts in words; how long runs took from acceptance, about, in milliseconds."""
    document = {name: getattr(counts, name) for name in COUNTED}
    return {**document, "duration_ms": percentiles(counts)} if with_percentiles else document


def percentiles(counts: Counts) -> dict[str, float | None]:
    return {f"p{rank}": percentile_ms(counts.durations, rank) for rank in RANKS}


def scale_of(span: str) -> Scale:
    """How a span is cut; Invalid for one that is not kept."""
    for known, scale in SCALES.items():
        if known == span:
            return scale
    message = f"must be one of {', '.join(SPANS)}"
    raise Invalid(f"the span is not acceptable: it {message}", (FieldError("span", message),))
