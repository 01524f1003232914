"""What time alone does to an integration's health: silence, runs that wait, refused calls, lanes that stand still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crossdock.model.health import Facts, Marks, Refusals
from crossdock.model.integration import HealthRules, RejectedCalls
from crossdock.model.time import Instant, format_duration, format_instant, later

SAMPLES_A_PERIOD = 10
"""How often within its period the number of refused calls is remembered: so exactly the period is kept."""
REASONS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so at the moment, with the words for it. What `is_rare` to change is written down at once."""

    message: str
    count: int
    event_id: str | None = None
    is_rare: bool = False


def remember(marks: Marks, facts: Facts, rules: HealthRules, now: Instant) -> Marks:
    """The marks with what the facts add to them."""
    last = marks.last_event_at
    if facts.last_event_at is not None:
        last = max(facts.last_event_at, last or facts.last_event_at)
    return replace(marks, last_event_at=last, refusals=_remember_refusals(marks, facts, rules.rejected_calls, now))


def _remember_refusals(marks: Marks, facts: Facts, rule: RejectedCalls | None, now: Instant) -> tuple[Refusals, ...]:
    if rule is None or marks.enabled_since is None:
        return ()
    known = [sample for sample in marks.refusals if sample.at <= now]  # the others are of a clock that was set back
    start = later(now, -rule.per)
    while len(known) > 1 and known[1].at <= start:
        known.pop(0)
    is_due = not known or now >= later(known[-1].at, rule.per / SAMPLES_A_PERIOD)
    if is_due and (not known or dict(known[-1].totals) != dict(facts.refused)):
        known.append(Refusals(now, dict(facts.refused)))
    return tuple(known)


def too_long_silent(marks: Marks, silence: float | None, now: Instant) -> Condition | None:
    """No event has come for `silence` seconds, counted from when the integration was switched on at the earliest."""
    if silence is None or marks.enabled_since is None:
        return None
    since = max(marks.enabled_since, marks.last_event_at or 0, marks.forgiven_at or 0)
    if now <= later(since, silence):
        return None
    if marks.last_event_at is None:
        last = "none has come yet"
    else:
        last = f"the last one came at {format_instant(marks.last_event_at)}"
    return Condition(f"no event has come for longer than {format_duration(silence)}: {last}", 1, is_rare=True)


def too_long_waiting(waiting: tuple[int, Instant] | None, backlog: float | None, now: Instant) -> Condition | None:
    """The oldest run that has not ended has waited for longer than `backlog` seconds."""
    if backlog is None or waiting is None or now <= later(waiting[1], backlog):
        return None
    count, oldest = waiting
    runs = "1 run waits, and has" if count == 1 else f"{count} runs wait, and the oldest of them has"
    words = f"{runs} waited for longer than {format_duration(backlog)}: since {format_instant(oldest)}"
    return Condition(words, count)


def too_many_refused(marks: Marks, facts: Facts, rule: RejectedCalls | None, now: Instant) -> Condition | None:
    """More than so many calls were refused within the rule's period."""
    if rule is None or not marks.refusals:
        return None
    refused = _refused_since(marks.refusals, facts.refused, later(now, -rule.per))
    count = sum(refused.values())
    if count <= rule.calls:
        return None
    reasons = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{number} {reason}" for reason, number in reasons[:REASONS_TOLD])
    more = ", ..." if len(reasons) > REASONS_TOLD else ""
    calls = "1 call was" if count == 1 else f"{count} calls were"
    return Condition(f"{calls} refused within {format_duration(rule.per)}: {told}{more}", count)


def _refused_since(known: tuple[Refusals, ...], totals: Mapping[str, int], start: Instant) -> dict[str, int]:
    before = [sample for sample in known if sample.at <= start]
    base = before[-1] if before else known[0]
    counts = {reason: total - base.totals.get(reason, 0) for reason, total in totals.items()}
    return {reason: count for reason, count in counts.items() if count > 0}


def stands_still(blocked: tuple[int, str] | None) -> Condition | None:
    """A lane stands still until an operator acts."""
    if blocked is None:
        return None
    count, event_id = blocked
    lanes = "1 lane waits" if count == 1 else f"{count} lanes wait"
    first = "its head is" if count == 1 else "the head of the first one is"
    words = f"{lanes} for an operator: {first} event {event_id}; retry, skip or park it"
    return Condition(words, count, event_id, is_rare=True)
