"""Counts, rates and times of an integration's runs, by interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.model.errors import FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.states import FINAL_RUN_STATES, RunState
from crossdock.model.time import SECOND, Instant, format_duration, format_instant, parse_duration, parse_instant
from crossdock.store import Store
from crossdock.store.events import STATS_ROWS, RunTimes, rejections, run_times
from crossdock.store.integrations import integration_exists

MAX_INTERVALS = 500
DEFAULT_SPAN = 86_400.0
DEFAULT_INTERVAL = 3_600.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time cut into intervals; `interval` is in seconds."""

    start: Instant
    end: Instant
    interval: float

    @property
    def step(self) -> Instant:
        return round(self.interval * SECOND)


class Stats:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def show(
        self,
        actor: Actor,
        integration_id: str,
        *,
        start: str | None = None,
        end: str | None = None,
        interval: str | None = None,
    ) -> Json:
        """What happened to the calls accepted between two times, by interval; the last 24 hours by the hour otherwise.

        Over 50,000 runs only the newest are counted, and `complete` is false.
        """
        actor.require("viewer")
        if not await self._store.read(integration_exists, actor.workspace_id, integration_id):
            raise NotFound(f"there is no integration {integration_id[:64]} here")
        span = read_span(start, end, interval, self._clock())
        runs = await self._store.read(run_times, integration_id, span.start, span.end)
        refused = await self._store.read(rejections, integration_id)
        return {
            "start": format_instant(span.start),
            "end": format_instant(span.end),
            "interval": format_duration(span.interval),
            "complete": len(runs) < STATS_ROWS,
            "total": count_runs(runs, (span.end - span.start) / SECOND),
            "intervals": by_interval(runs, span),
            "rejected": [
                {"reason": each.reason, "count": each.count, "last_at": format_instant(each.last_at)}
                for each in refused
            ],
        }


def read_span(start: str | None, end: str | None, interval: str | None, now: Instant) -> Span:
    """The span that is asked for; Invalid names the fields that are wrong."""
    try:
        seconds = parse_duration(interval) if interval is not None else DEFAULT_INTERVAL
    except ValueError as error:
        raise _wrong("interval", str(error)) from None
    if seconds < 1:
        raise _wrong("interval", "must be PT1S at least")
    until = _read_time("end", end, now)
    since = _read_time("start", start, until - round(DEFAULT_SPAN * SECOND))
    if since >= until:
        raise _wrong("start", "must be before the end")
    if (until - since) / SECOND > seconds * MAX_INTERVALS:
        raise _wrong("interval", f"gives more than {MAX_INTERVALS} intervals; make it longer")
    return Span(since, until, seconds)


def _read_time(field: str, text: str | None, otherwise: Instant) -> Instant:
    if text is None:
        return otherwise
    try:
        return parse_instant(text)
    except ValueError as error:
        raise _wrong(field, str(error)) from None


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"the time span is not acceptable: {field} {message}", (FieldError(field, message),))


def by_interval(runs: Sequence[RunTimes], span: Span) -> list[Json]:
    """One entry for each interval, oldest first, empty ones too."""
    groups: dict[int, list[RunTimes]] = {}
    for run in runs:
        groups.setdefault((run.accepted_at - span.start) // span.step, []).append(run)
    count = ceil((span.end - span.start) / span.step)
    return [
        {"start": format_instant(span.start + n * span.step), **count_runs(groups.get(n, []), span.interval)}
        for n in range(count)
    ]


def count_runs(runs: Sequence[RunTimes], seconds: float) -> Json:
    """Counts by state, accepted calls per second, and how long finished ones took from acceptance, in milliseconds."""
    states = Counter(run.state for run in runs)
    unfinished = sum(count for state, count in states.items() if state not in FINAL_RUN_STATES)
    times = sorted((run.finished_at - run.accepted_at) / 1_000 for run in runs if run.finished_at is not None)
    return {
        "accepted": len(runs),
        "succeeded": states[RunState.SUCCEEDED],
        "failed": states[RunState.FAILED],
        "canceled": states[RunState.CANCELED],
        "unfinished": unfinished,
        "per_second": round(len(runs) / seconds, 6),
        "duration_ms": {f"p{rank}": percentile(times, rank) for rank in (50, 95, 99)},
    }


def percentile(ordered: Sequence[float], rank: int) -> float | None:
    """The smallest value that `rank` percent of the values do not exceed (nearest rank); None without values."""
    if not ordered:
        return None
    return round(ordered[max(0, ceil(len(ordered) * rank / 100) - 1)], 3)
