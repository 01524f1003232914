"""The story of an event, told from its document: in a sentence, and as the bars of a waterfall. Pure.

Documents are those of `GET /api/v1/events/{id}`. Times in bars are milliseconds since the call was received.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from crossdock.model.outcome import Json
from crossdock.model.time import Instant, parse_instant, seconds_between

_TIMES = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth"}
_ENDED = ("succeeded", "failed", "canceled")

# --- in words --------------------------------------------------------------------------------------------------------


def summary(event: Mapping[str, Any], accepted: str | None = None) -> str:
    """The story in a sentence: `accepted 14:03:12.204, waited 3 ms, ran 41 ms, replied 200 on the second try`.

    `accepted` is the time of acceptance as it is to be written; RFC 3339 otherwise.
    """
    parts = [f"accepted {accepted or event['received_at']}"]
    waited = between(event.get("received_at"), event.get("started_at"))
    ran = between(event.get("started_at"), event.get("finished_at"))
    if waited is not None:
        parts.append(f"waited {duration_words(waited)}")
    if ran is not None:
        parts.append(f"ran {duration_words(ran)}")
    if (event.get("attempts") or 0) > 1:
        parts.append(f"{event['attempts']} attempts")
    if event["status"] not in _ENDED:
        parts.append(f"{event['status']} now")
    return ", ".join([*parts, *reply_words(event.get("reply"))])


def reply_words(reply: Mapping[str, Any] | None) -> list[str]:
    """What became of the reply, in a list of one; nothing where none is owed."""
    if not reply or reply.get("status") in (None, "none"):
        return []
    attempts = reply.get("attempts") or []
    if reply["status"] == "delivered" and attempts:
        response = attempts[-1].get("response") or {}
        status = response.get("status") or attempts[-1].get("status")
        return [f"replied {status} on the {_TIMES.get(len(attempts), f'{len(attempts)}th')} try"]
    tries = f" after {len(attempts)} {'try' if len(attempts) == 1 else 'tries'}" if attempts else ""
    return [f"reply {reply['status']}{tries}"]


def duration_words(seconds: float) -> str:
    """`340 ms`, `2.5 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, next_unit, size, next_size in (("d", "h", 86_400, 3_600), ("h", "min", 3_600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {unit}" + (f" {rest} {next_unit}" if rest else "")
    return f"{whole} s"


def between(start: str | None, end: str | None) -> float | None:
    """Seconds between two times as the API writes them; None when one of them is missing."""
    if start is None or end is None:
        return None
    return max(0.0, seconds_between(parse_instant(start), parse_instant(end)))


# --- as bars ---------------------------------------------------------------------------------------------------------

BarKind: TypeAlias = Literal["queue", "step", "wait", "reply", "attempt"]
"""Waiting for a slot or a turn; a step; a pause; a reply from when it was owed; one try to send it."""
BarState: TypeAlias = Literal["succeeded", "failed", "waiting", "running", "skipped", "canceled"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in which something happened. `step` is the step's path, which leads to its panel.

    `is_open` says that it goes on: it ends, for the picture, at the moment that the picture was made for.
    """

    kind: BarKind
    label: str
    state: BarState
    start_ms: float
    duration_ms: float
    depth: int = 0
    """How far inside of others it is: what is in a block stands under it."""
    attempts: int = 1
    step: str | None = None
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Bars from top to bottom, and how long the whole is, in milliseconds."""

    bars: tuple[Bar, ...]
    duration_ms: float


def waterfall(event: Mapping[str, Any], now: Instant) -> Waterfall:
    """What happened to an event, bar by bar: the queue, the steps, the pauses, the reply with its tries."""
    scale = _Scale(parse_instant(event["received_at"]), now)
    bars = (*_queue(event, scale), *_steps(event, scale), *_pause(event, scale), *_reply(event, scale))
    ends = [bar.start_ms + bar.duration_ms for bar in bars]
    finished = scale.ms(event.get("finished_at"))
    return Waterfall(bars, max([*ends, finished or 0.0]))


@dataclass(frozen=True, slots=True)
class _Scale:
    zero: Instant
    now: Instant

    def ms(self, time: str | None) -> float | None:
        return None if time is None else max(0.0, (parse_instant(time) - self.zero) / 1_000)

    @property
    def now_ms(self) -> float:
        return max(0.0, (self.now - self.zero) / 1_000)

    def stretch(self, start: str | None, end: str | None) -> tuple[float, float, bool]:
        """Start and length of what went on between two times, and whether it still does."""
        first, last = self.ms(start) or 0.0, self.ms(end)
        return first, max(0.0, (self.now_ms if last is None else last) - first), last is None


def _queue(event: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    start, length, is_open = scale.stretch(event["received_at"], event.get("started_at") or event.get("finished_at"))
    state: BarState = "waiting" if is_open else "succeeded"
    if event.get("started_at") is None and event["status"] == "canceled":
        state = "canceled"
    yield Bar("queue", "queue", state, start, length, is_open=is_open)


def _steps(event: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    for step in event.get("steps") or ():
        is_waiting = step["status"] == "waiting"
        kind: BarKind = "wait" if step["type"] == "delay" else "step"
        start, length, is_open = scale.stretch(step["started_at"], step["finished_at"])
        yield Bar(
            kind,
            step["id"],
            _state_of_step(step["status"]),
            0.0 if step.get("reused") else start,
            0.0 if step.get("reused") else length,
            depth=step["id"].count("."),
            attempts=step.get("attempts") or 1,
            step=step["id"],
            is_open=is_open,
        )
        if is_waiting and step.get("until") is not None:
            yield _until(scale, step["finished_at"], step["until"], f"until {step['id']} goes on", step["id"])


def _state_of_step(status: str) -> BarState:
    match status:
        case "succeeded" | "failed" | "waiting" | "skipped" | "canceled":
            return status
        case _:
            return "running"


def _until(scale: _Scale, start: str | None, end: str, label: str, step: str | None = None) -> Bar:
    """A pause that goes on: up to its end, which may be to come."""
    first, length, _ = scale.stretch(start, end)
    return Bar("wait", label, "waiting", first, length, depth=1, step=step, is_open=parse_instant(end) > scale.now)


def _pause(event: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    """Until the run's next attempt."""
    if event["status"] == "retrying" and event.get("next_attempt_at") is not None:
        steps = event.get("steps") or ()
        last = max((step["finished_at"] for step in steps if step["finished_at"]), default=event.get("started_at"))
        yield _until(scale, last or event["received_at"], event["next_attempt_at"], "until the next attempt")


def _reply(event: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    reply = event.get("reply") or {}
    attempts = reply.get("attempts") or []
    if reply.get("status") in (None, "none"):
        return
    owed_since = event.get("finished_at") or (attempts[0]["started_at"] if attempts else event["received_at"])
    is_open = reply["status"] == "pending"
    end = None if is_open else (attempts[-1]["finished_at"] if attempts else owed_since)
    start, length, _ = scale.stretch(owed_since, end)
    state: BarState = "waiting" if is_open else "succeeded" if reply["status"] == "delivered" else "failed"
    yield Bar("reply", "reply", state, start, length, attempts=max(1, len(attempts)), is_open=is_open)
    for attempt in attempts:
        start, length, is_open = scale.stretch(attempt["started_at"], attempt["finished_at"])
        yield Bar("attempt", _attempt_label(attempt), _state_of_attempt(attempt), start, length, depth=1)
    if reply.get("next_attempt_at") is not None:
        since = attempts[-1]["finished_at"] if attempts else owed_since
        yield _until(scale, since, reply["next_attempt_at"], "until the next try")


def _attempt_label(attempt: Mapping[str, Any]) -> str:
    response: Json = attempt.get("response") or {}
    answer = f"answered {response['status']}" if response.get("status") else str(attempt.get("error") or "no answer")
    return f"try {attempt['number']}: {answer}"


def _state_of_attempt(attempt: Mapping[str, Any]) -> BarState:
    response = attempt.get("response") or {}
    return "succeeded" if 200 <= (response.get("status") or 0) < 300 and not attempt.get("error") else "failed"
