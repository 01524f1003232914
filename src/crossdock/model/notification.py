"""Which changes of health a notification webhook is told, and when: at once, later, or not at all.

The rules, the first that fits:

- What its filters do not ask for is not told. `disabled` and `initializing` never are. A recovery is told to whoever
  asks for recoveries and was told of trouble, or would have been.
- A digest gathers every change that is asked for until its interval is over.
- Damping: the same status is told once in a while. What comes sooner is held.
- Quiet hours: what is not excepted is held until they end.

What is held gives way to every newer change of its integration: the last state is told, what is over is not. Each wait
is bounded: by the damping, the interval of the digest, the end of the quiet hours. A clock that is set back changes
nothing in that, because nothing is taken to have been told later than now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from crossdock.model.health import HealthChange, HealthStatus
from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant, later, parse_duration
from crossdock.model.value import value

TROUBLE = frozenset({HealthStatus.WARNING, HealthStatus.ERROR})
TELLABLE = TROUBLE | {HealthStatus.ACTIVE}
"""What filters may name, and what an empty filter means."""
MOST_DIGEST_SECONDS = 7 * 86_400.0
MOST_HOLD_SECONDS = 16 * 86_400.0
"""No notice is held as long: an interval of a digest, and quiet hours that leave out one day of the week, are less."""


class HoldReason(StrEnum):
    DAMPING = "damping"
    """The same status of the same integration was told a moment ago."""
    DIGEST = "digest"
    """The webhook gets one message for each interval."""
    QUIET_HOURS = "quiet_hours"
    """It is not to be disturbed now."""


@value
class Notice:
    """What a delivery tells a webhook. Made of immutable changes, so that every try tells the same."""

    webhook_id: str
    integration_id: str
    """Empty for a digest, which may be about several."""
    changes: tuple[HealthChange, ...]
    """The oldest first."""

    @property
    def is_digest(self) -> bool:
        return not self.integration_id


# --- quiet hours -----------------------------------------------------------------------------------------------------

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE_WEEK = frozenset(range(7))
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A range of the clock on the wall, on the days (0 is Monday) on which it begins. It goes over midnight when its
    end is before its start, and lasts a day when both are the same.

    When clocks are set forward, a time that they skip is taken as RFC 5545 takes it: as long after the change as it
    was meant. When they are set back, the range ends with the second time that they show its end.
    """

    start: time
    until: time
    zone: ZoneInfo
    days: frozenset[int] = _WHOLE_WEEK
    except_statuses: frozenset[HealthStatus] = frozenset()

    def ends_at(self, now: Instant) -> Instant | None:
        """When the quiet hours around `now` end; None outside of them. Ranges that touch are one."""
        end = self._end_around(now)
        for _ in range(len(DAYS)):
            following = None if end is None else self._end_around(end)
            if following is None:
                break
            end = following
        return end

    def _end_around(self, now: Instant) -> Instant | None:
        today = (_EPOCH + timedelta(microseconds=now)).astimezone(self.zone).date()
        ends = [end for begin, end in map(self._range_of, self._days_near(today)) if begin <= now < end]
        return max(ends, default=None)

    def _days_near(self, today: date) -> Iterable[date]:
        near = (today - timedelta(days=back) for back in (0, 1, 2))  # two: clocks may be changed in between
        return (day for day in near if day.weekday() in self.days)

    def _range_of(self, day: date) -> tuple[Instant, Instant]:
        last_day = day + timedelta(days=1 if self.until <= self.start else 0)
        return self._instant(day, self.start, 0), max(self._instant(last_day, self.until, fold) for fold in (0, 1))

    def _instant(self, day: date, at: time, fold: int) -> Instant:
        moment = datetime.combine(day, at, tzinfo=self.zone).replace(fold=fold)
        return (moment - _EPOCH) // timedelta(microseconds=1)


def read_quiet_hours(document: Json) -> QuietHours:
    """Quiet hours as they are written; ValueError says what is wrong with them."""
    if not isinstance(document, dict):
        raise ValueError('quiet hours are an object such as {"from": "22:00", "until": "06:00", "time_zone": "UTC"}')
    days = document.get("days") or DAYS
    hours = QuietHours(
        start=_time(document.get("from"), "from"),
        until=_time(document.get("until"), "until"),
        zone=_zone(document.get("time_zone", "UTC")),
        days=frozenset(_day(name) for name in days),
        except_statuses=_statuses(document.get("except_statuses") or ()),
    )
    if hours.start == hours.until and hours.days == _WHOLE_WEEK:
        raise ValueError("quiet hours that never end would hold every message for ever: leave out some time or a day")
    return hours


def _time(text: Any, name: str) -> time:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"`{name}` is a time of the day such as 22:00 or 06:30")
    return time(int(found[1]), int(found[2]))


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, TypeError, ValueError):
        raise ValueError(f"there is no time zone {str(name)[:64]!r}: write it like Europe/Berlin or UTC") from None


def _day(name: Any) -> int:
    if not isinstance(name, str) or name.lower()[:3] not in DAYS:
        raise ValueError(f"{str(name)[:64]!r} is not a day of the week: write {', '.join(DAYS)}")
    return DAYS.index(name.lower()[:3])


def _statuses(names: Iterable[Any]) -> frozenset[HealthStatus]:
    statuses = frozenset(HealthStatus(name) for name in names)
    if not statuses <= TELLABLE:
        raise ValueError("webhooks are told of warning, error and active only")
    return statuses


# --- what a webhook asks for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """What a webhook wants to be told. Empty `integrations` and `types` mean all."""

    active: bool = True
    integrations: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    statuses: frozenset[HealthStatus] = TROUBLE
    notify_recovery: bool = False
    digest_seconds: float | None = None
    quiet_hours: QuietHours | None = None

    def is_about(self, integration_id: str, integration_type: str) -> bool:
        """Whether changes of this integration are of interest at all."""
        if not self.active or (self.integrations and integration_id not in self.integrations):
            return False
        return not self.types or integration_type in self.types


def rules_of(document: Json, active: bool) -> WebhookRules:
    """The rules in a webhook's stored document; ValueError when it is damaged or of a newer version."""
    if not isinstance(document, dict):
        raise ValueError("the document of a notification webhook is an object")
    filters = document.get("filters") or {}
    statuses = filters.get("statuses")
    digest, quiet_hours = document.get("digest"), document.get("quiet_hours")
    return WebhookRules(
        active=active,
        integrations=frozenset(filters.get("integrations") or ()),
        types=frozenset(filters.get("types") or ()),
        statuses=TROUBLE if statuses is None else _statuses(statuses) or TELLABLE,
        notify_recovery=bool(document.get("notify_recovery")),
        digest_seconds=None if digest is None else read_digest(digest),
        quiet_hours=None if quiet_hours is None else read_quiet_hours(quiet_hours),
    )


def read_digest(text: str) -> float:
    """The seconds between two digests; ValueError says what is wrong."""
    seconds = parse_duration(text)
    if not 1.0 <= seconds <= MOST_DIGEST_SECONDS:
        raise ValueError("a digest comes at most every second and at least every seven days: write it like PT15M")
    return seconds


# --- the decision ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drop:
    """It is not told."""


@dataclass(frozen=True, slots=True)
class SendNow:
    """It is told at once."""


@dataclass(frozen=True, slots=True)
class HoldUntil:
    """It is told later, unless something newer comes before."""

    at: Instant
    reason: HoldReason


Plan: TypeAlias = Drop | SendNow | HoldUntil


@dataclass(frozen=True, slots=True)
class Told:
    """What a webhook was told of an integration: the last status, and when it was told each."""

    status: HealthStatus
    times: Mapping[HealthStatus, Instant] = field(default_factory=lambda: MappingProxyType({}))
    last: Instant = 0
    """Gives what is told its order: it only grows, whatever the clock does."""

    def and_now(self, status: HealthStatus, now: Instant) -> Told:
        return Told(status, MappingProxyType({**self.times, status: now}), max(now, self.last + 1))

    def as_of(self, now: Instant) -> Told:
        """The same, with nothing told later than now: the clock was set back since."""
        if all(at <= now for at in self.times.values()):
            return self
        return replace(self, times=MappingProxyType({status: min(at, now) for status, at in self.times.items()}))


@dataclass(frozen=True, slots=True)
class Held:
    """A notice that waits. `status` is that of its last change; in a digest, of one that quiet hours do not hold."""

    change_ids: tuple[str, ...]
    status: HealthStatus
    due_at: Instant
    reason: HoldReason


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand between a webhook and an integration. `held` is the webhook's digest where it has one."""

    told: Told | None = None
    held: Held | None = None


def plan(rules: WebhookRules, change: HealthChange, *, standing: Standing, now: Instant, damping: float) -> Plan:
    """What becomes of a change of an integration that the webhook is about; `damping` is in seconds, 0 for none."""
    told = standing.told.as_of(now) if standing.told is not None else None
    if not rules.active or not _asks_for(rules, change, told):
        return Drop()
    if rules.digest_seconds is not None:
        at = _next_boundary(now, rules.digest_seconds)
        return HoldUntil(_after_quiet_hours(rules, change.status, at), HoldReason.DIGEST)
    damped_until = _damped_until(told, change.status, now, damping)
    is_known = told is not None and told.status is change.status
    if is_known and (standing.held is not None or damped_until > now):
        return Drop()  # back to what was told last, before anything else was told
    at = _after_quiet_hours(rules, change.status, damped_until)
    if at > damped_until:
        return HoldUntil(at, HoldReason.QUIET_HOURS)
    return HoldUntil(at, HoldReason.DAMPING) if at > now else SendNow()


def _asks_for(rules: WebhookRules, change: HealthChange, told: Told | None) -> bool:
    if change.status not in TELLABLE:
        return False
    if change.status in rules.statuses:
        return True
    if change.status is not HealthStatus.ACTIVE or not rules.notify_recovery:
        return False
    if told is not None:
        return told.status in TROUBLE
    return change.previous_status in TROUBLE & rules.statuses


def _damped_until(told: Told | None, status: HealthStatus, now: Instant, damping: float) -> Instant:
    at = None if told is None else told.times.get(status)
    return now if at is None else max(now, later(at, damping))


def _after_quiet_hours(rules: WebhookRules, status: HealthStatus, at: Instant) -> Instant:
    hours = rules.quiet_hours
    if hours is None or status in hours.except_statuses:
        return at
    end = hours.ends_at(at)
    return at if end is None else end


def next_digest(rules: WebhookRules, now: Instant) -> Instant:
    """When what is gathered is told by these rules, quiet hours aside: at once without a digest."""
    return now if rules.digest_seconds is None else _next_boundary(now, rules.digest_seconds)


def _next_boundary(now: Instant, seconds: float) -> Instant:
    interval = round(seconds * SECOND)
    return (now // interval + 1) * interval


# --- what follows from it --------------------------------------------------------------------------------------------


def follow(
    rules: WebhookRules, change: HealthChange, *, standing: Standing, now: Instant, damping: float
) -> tuple[Standing, bool]:
    """How things stand after a change, and whether it is told now."""
    told = standing.told.as_of(now) if standing.told is not None else None
    match plan(rules, change, standing=standing, now=now, damping=damping):
        case SendNow():
            return Standing(_told(told, change.status, now)), True
        case HoldUntil(at, HoldReason.DIGEST):
            digest = _gathered(standing.held, rules, change, at)
            return Standing(_told(told, change.status, now), digest), False
        case HoldUntil(at, reason):
            return Standing(told, Held((change.id,), change.status, at, reason)), False
        case Drop():
            is_digest = rules.digest_seconds is not None
            return Standing(told, standing.held if is_digest else None), False


def _gathered(digest: Held | None, rules: WebhookRules, change: HealthChange, at: Instant) -> Held:
    if digest is None:
        return Held((change.id,), change.status, at, HoldReason.DIGEST)
    excepted = rules.quiet_hours.except_statuses if rules.quiet_hours is not None else frozenset()
    status = digest.status if digest.status in excepted else change.status
    return Held((*digest.change_ids, change.id), status, min(digest.due_at, at), HoldReason.DIGEST)


def _told(told: Told | None, status: HealthStatus, now: Instant) -> Told:
    return (told or Told(status)).and_now(status, now)


def release(
    rules: WebhookRules, held: Held, *, told: Told | None, now: Instant, damping: float
) -> tuple[Standing, bool]:
    """What becomes of a held notice that is due, by the webhook's present rules; how things stand then, and whether it
    is told now.

    What is held because of damping is told even if the webhook does not ask for its status any more: it did when it
    changed, and nothing newer has come.
    """
    told = told.as_of(now) if told is not None else None
    if not rules.active:
        return Standing(told), False
    is_digest = held.reason is HoldReason.DIGEST
    damped_until = now if is_digest else _damped_until(told, held.status, now, damping)
    at = _after_quiet_hours(rules, held.status, damped_until)
    if at > now:
        reason = held.reason if is_digest or at == damped_until else HoldReason.QUIET_HOURS
        return Standing(told, replace(held, due_at=at, reason=reason)), False
    return Standing(told if is_digest else _told(told, held.status, now)), True
