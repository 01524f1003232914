"""What webhooks are told, and when: walked by chance, and the clock on the wall at its worst."""

from __future__ import annotations

from datetime import datetime
from itertools import count, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crossdock.model.health import HealthChange, HealthStatus
from crossdock.model.notification import (
    MOST_HOLD_SECONDS,
    TELLABLE,
    TROUBLE,
    Drop,
    Held,
    HoldReason,
    HoldUntil,
    SendNow,
    Standing,
    Told,
    WebhookRules,
    follow,
    plan,
    read_digest,
    read_quiet_hours,
    release,
    rules_of,
)
from crossdock.model.time import SECOND, Instant, later
from tests.support.held import START
from tests.support.notices import ACTIVE, ERROR, WARNING, a_change

DAY = 86_400.0
NEW = Standing()
DISABLED, INITIALIZING = HealthStatus.DISABLED, HealthStatus.INITIALIZING


def at(text: str, zone: str = "UTC") -> Instant:
    """The instant of a time on the wall; the first one where there are two."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def decided(change: HealthChange, rules: WebhookRules, standing: Standing = NEW, now: Instant = START) -> Any:
    return plan(rules, change, standing=standing, now=now, damping=60.0)


# --- single decisions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "previous", "wanted"),
    [
        (WARNING, ACTIVE, SendNow()),
        (ERROR, WARNING, SendNow()),
        (ACTIVE, ERROR, Drop()),
        (DISABLED, ERROR, Drop()),
        (INITIALIZING, DISABLED, Drop()),
    ],
)
def test_trouble_is_told_where_nothing_else_is_said(status: HealthStatus, previous: HealthStatus, wanted: Any) -> None:
    assert decided(a_change(status, previous), rules_of({}, active=True)) == wanted


def test_a_webhook_that_is_switched_off_is_told_nothing() -> None:
    assert decided(a_change(ERROR), rules_of({}, active=False)) == Drop()


@pytest.mark.parametrize(
    ("told", "previous", "wanted"),
    [
        (None, ERROR, SendNow()),
        (None, INITIALIZING, Drop()),
        (Told(ERROR), WARNING, SendNow()),
        (Told(ERROR), DISABLED, SendNow()),
        (Told(ACTIVE), WARNING, Drop()),
    ],
)
def test_a_recovery_is_told_to_whoever_heard_of_the_trouble(
    told: Told | None, previous: HealthStatus, wanted: Any
) -> None:
    rules = WebhookRules(notify_recovery=True)

    assert decided(a_change(ACTIVE, previous), rules, Standing(told)) == wanted


def test_no_recovery_is_told_from_trouble_that_was_not_asked_for() -> None:
    rules = WebhookRules(statuses=frozenset({ERROR}), notify_recovery=True)

    assert decided(a_change(ACTIVE, WARNING), rules) == Drop()
    assert decided(a_change(ACTIVE, WARNING), rules, Standing(Told(ERROR))) == SendNow()


def test_damping_ends_a_while_after_the_same_status_was_told() -> None:
    told = Told(ACTIVE, {ERROR: START, ACTIVE: later(START, 5)})
    rules = WebhookRules()

    early = decided(a_change(ERROR), rules, Standing(told), later(START, 59))
    late = decided(a_change(ERROR), rules, Standing(told), later(START, 60))

    assert (early, late) == (HoldUntil(later(START, 60), HoldReason.DAMPING), SendNow())


def test_what_is_damped_into_quiet_hours_waits_for_their_end() -> None:
    hours = read_quiet_hours({"from": "22:00", "until": "06:00", "time_zone": "UTC"})
    told = Told(WARNING, {ERROR: at("2026-03-01T21:59:30")})

    wanted = decided(a_change(ERROR), WebhookRules(quiet_hours=hours), Standing(told), at("2026-03-01T21:59:50"))

    assert wanted == HoldUntil(at("2026-03-02T06:00"), HoldReason.QUIET_HOURS)


def test_a_digest_comes_at_the_next_boundary_of_its_interval() -> None:
    now = at("2026-03-01T21:59:30")

    assert decided(a_change(ERROR), WebhookRules(digest_seconds=900.0), now=now) == HoldUntil(
        at("2026-03-01T22:00"), HoldReason.DIGEST
    )


def test_a_status_that_quiet_hours_except_brings_the_digest_forward() -> None:
    hours = read_quiet_hours({"from": "22:00", "until": "06:00", "except_statuses": ["error"]})
    rules = WebhookRules(digest_seconds=900.0, quiet_hours=hours)
    now = at("2026-03-01T23:01")

    calm, _ = follow(rules, a_change(WARNING), standing=Standing(), now=now, damping=60.0)
    urgent, _ = follow(rules, a_change(ERROR, WARNING), standing=calm, now=now, damping=60.0)

    assert calm.held is not None
    assert urgent.held is not None
    assert (calm.held.due_at, urgent.held.due_at) == (at("2026-03-02T06:00"), at("2026-03-01T23:15"))
    assert release(rules, urgent.held, told=None, now=urgent.held.due_at, damping=60.0)[1]


# --- quiet hours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-02T21:59", None),
        ("2026-03-02T22:00", "2026-03-03T06:00"),
        ("2026-03-03T05:59", "2026-03-03T06:00"),
        ("2026-03-03T06:00", None),
    ],
)
def test_a_night_goes_over_midnight(now: str, end: str | None) -> None:
    hours = read_quiet_hours({"from": "22:00", "until": "06:00", "time_zone": "Asia/Tokyo"})

    assert hours.ends_at(at(now, "Asia/Tokyo")) == (None if end is None else at(end, "Asia/Tokyo"))


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-03-06T23:30", "2026-03-07T06:00"),  # Friday's night, until Saturday morning
        ("2026-03-07T23:30", None),  # Saturday
        ("2026-03-08T03:00", None),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(now: str, end: str | None) -> None:
    hours = read_quiet_hours({"from": "22:00", "until": "06:00", "days": ["mon", "friday"]})

    assert hours.ends_at(at(now)) == (None if end is None else at(end))


def test_a_weekend_of_two_days_is_one() -> None:
    hours = read_quiet_hours({"from": "00:00", "until": "00:00", "days": ["sat", "sun"]})

    assert hours.ends_at(at("2026-03-07T10:00")) == at("2026-03-09T00:00")
    assert hours.ends_at(at("2026-03-06T23:59")) is None


@pytest.mark.parametrize(
    ("first", "until", "now", "length"),
    [
        ("22:00", "06:00", "2026-03-28T22:00", 7),  # clocks are set forward: the night is an hour short
        ("22:00", "06:00", "2026-10-24T22:00", 9),  # and set back: an hour long
        ("22:00", "02:30", "2026-03-28T22:00", 4.5),  # 02:30 is skipped: as long as it was meant
        ("22:00", "02:30", "2026-10-24T22:00", 5.5),  # 02:30 comes twice: the second one
        ("02:30", "05:00", "2026-10-25T02:30", 3.5),  # it begins with the first
    ],
)
def test_clocks_are_set_forward_and_back_in_the_night(first: str, until: str, now: str, length: float) -> None:
    hours = read_quiet_hours({"from": first, "until": until, "time_zone": "Europe/Berlin"})
    begin = at(now, "Europe/Berlin")

    assert hours.ends_at(begin) == later(begin, length * 3_600)
    assert hours.ends_at(later(begin, length * 3_600)) is None
    assert hours.ends_at(begin - 1) is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("22:00-06:00", "an object"),
        ({"from": "22", "until": "06:00"}, "`from` is a time of the day"),
        ({"from": "22:00", "until": "24:00"}, "`until` is a time of the day"),
        ({"from": "22:00", "until": "06:00", "time_zone": "Mars/Olympus"}, "write it like Europe/Berlin"),
        ({"from": "22:00", "until": "06:00", "time_zone": "../../etc/passwd"}, "write it like Europe/Berlin"),
        ({"from": "22:00", "until": "06:00", "days": ["someday"]}, "not a day of the week"),
        ({"from": "22:00", "until": "06:00", "except_statuses": ["disabled"]}, "warning, error and active only"),
        ({"from": "22:00", "until": "22:00"}, "for ever"),
    ],
)
def test_quiet_hours_that_cannot_be_meant_are_refused_in_words(document: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_quiet_hours(document)


@pytest.mark.parametrize("text", ["PT0S", "P8D", "soon"])
def test_a_digest_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        read_digest(text)


def test_an_empty_filter_asks_for_everything_that_can_be_told() -> None:
    rules = rules_of({"filters": {"statuses": []}}, active=True)

    assert rules.statuses == TELLABLE
    assert rules.is_about("int_a", "webhook-trigger")


# --- walked by chance ------------------------------------------------------------------------------------------------

NIGHTS = [None, {"from": "13:00", "until": "15:00"}, {"from": "22:00", "until": "21:00", "except_statuses": ["error"]}]
RULES = st.builds(
    WebhookRules,
    statuses=st.sets(st.sampled_from(sorted(TELLABLE)), min_size=1).map(frozenset),
    notify_recovery=st.booleans(),
    quiet_hours=st.sampled_from(NIGHTS).map(lambda night: None if night is None else read_quiet_hours(night)),
)


class Telling(RuleBasedStateMachine):
    """One webhook and one integration. `passed` is the time that really passes, `now` what the clock says."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.passed = START, 0.0
        self.numbers = count()
        self.status = INITIALIZING
        self.standing = Standing()
        self.changes: dict[str, HealthChange] = {}
        self.told: list[tuple[str, float]] = []
        """Ids of changes, and when they were told."""

    @initialize(rules=RULES, damping=st.sampled_from([0.0, 60.0, 3_600.0]))
    def begin(self, rules: WebhookRules, damping: float) -> None:
        self.wanted, self.damping = rules, damping

    @rule(status=st.sampled_from(list(HealthStatus)))
    def change(self, status: HealthStatus) -> None:
        if status is self.status:
            return
        change = HealthChange(f"hch_{next(self.numbers)}", "int_a", self.now, status, self.status)
        self.changes[change.id] = change
        self.status = status
        self.standing, is_told = follow(self.wanted, change, standing=self.standing, now=self.now, damping=self.damping)
        if is_told:
            self.told.append((change.id, self.passed))

    @rule(seconds=st.sampled_from([1.0, 30.0, 60.0, 3_000.0, 4 * 3_600.0]))
    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.now = later(self.now, seconds)
        self.look()

    @rule(seconds=st.sampled_from([1.0, 600.0, 2 * DAY]))
    def set_back(self, seconds: float) -> None:
        self.now = later(self.now, -seconds)
        self.look()

    def look(self) -> None:
        """As the store does: what is due, and what a clock far ahead has held."""
        held = self.standing.held
        if held is None or not self.is_due(held):
            return
        self.standing, is_told = release(self.wanted, held, told=self.standing.told, now=self.now, damping=self.damping)
        if is_told:
            self.told += [(one, self.passed) for one in held.change_ids]

    def is_due(self, held: Held) -> bool:
        is_damped = held.reason is HoldReason.DAMPING and held.due_at > later(self.now, self.damping)
        return held.due_at <= self.now or is_damped or held.due_at > later(self.now, MOST_HOLD_SECONDS)

    @property
    def last(self) -> HealthChange | None:
        return next(reversed(self.changes.values()), None)

    @invariant()
    def no_change_is_told_twice(self) -> None:
        assert len({one for one, _ in self.told}) == len(self.told)

    @invariant()
    def only_what_is_asked_for_is_told(self) -> None:
        wanted = self.wanted.statuses | ({ACTIVE} if self.wanted.notify_recovery else set())
        assert all(self.changes[one].status in wanted for one, _ in self.told)

    @invariant()
    def a_status_is_told_once_in_a_while(self) -> None:
        for status in TELLABLE:
            times = [passed for one, passed in self.told if self.changes[one].status is status]
            assert all(second - first >= self.damping for first, second in pairwise(times))

    @invariant()
    def the_last_state_was_told_or_will_be(self) -> None:
        last, held, told = self.last, self.standing.held, self.standing.told
        if last is None:
            return
        is_known = told is not None and told.status is last.status
        if last.status in self.wanted.statuses:
            assert is_known or (held is not None and held.change_ids == (last.id,))
        if last.status is ACTIVE and self.wanted.notify_recovery and told is not None and told.status in TROUBLE:
            assert held is not None
        if held is not None:
            assert held.change_ids == (last.id,)

    @invariant()
    def nothing_is_held_for_ever(self) -> None:
        held = self.standing.held
        assert held is None or held.due_at - self.now <= (MOST_HOLD_SECONDS + 2 * DAY) * SECOND

    def teardown(self) -> None:
        """In the end all is told."""
        if not self.changes:
            return
        for _ in range(24 * 16):
            self.wait(3_600.0)
        assert self.standing.held is None
        if self.status in self.wanted.statuses:
            assert self.standing.told is not None
            assert self.standing.told.status is self.status
            assert self.changes[self.told[-1][0]].status is self.status


class Digest(RuleBasedStateMachine):
    """One webhook that gets digests of two integrations."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.numbers = count()
        self.told: dict[str, Told | None] = {"int_a": None, "int_b": None}
        self.held: Held | None = None
        self.asked: list[str] = []
        self.digests: list[tuple[str, ...]] = []

    @initialize(rules=RULES, seconds=st.sampled_from([60.0, 900.0]))
    def begin(self, rules: WebhookRules, seconds: float) -> None:
        self.wanted = WebhookRules(statuses=rules.statuses, digest_seconds=seconds, quiet_hours=rules.quiet_hours)

    @rule(integration_id=st.sampled_from(["int_a", "int_b"]), status=st.sampled_from(sorted(TELLABLE)))
    def change(self, integration_id: str, status: HealthStatus) -> None:
        change = HealthChange(f"hch_{next(self.numbers)}", integration_id, self.now, status, DISABLED)
        standing = Standing(self.told[integration_id], self.held)
        standing, is_told = follow(self.wanted, change, standing=standing, now=self.now, damping=60.0)
        assert not is_told
        self.told[integration_id], self.held = standing.told, standing.held
        if status in self.wanted.statuses:
            self.asked.append(change.id)

    @rule(seconds=st.sampled_from([-7_200.0, -5.0, 1.0, 59.0, 600.0, 7_200.0]))
    def step(self, seconds: float) -> None:
        self.now = later(self.now, seconds)
        held = self.held
        if held is None or held.due_at > self.now:
            return
        standing, is_told = release(self.wanted, held, told=None, now=self.now, damping=60.0)
        self.held = standing.held
        if is_told:
            self.digests.append(held.change_ids)

    @invariant()
    def each_change_is_in_one_digest(self) -> None:
        waiting = () if self.held is None else self.held.change_ids
        assert [one for digest in (*self.digests, waiting) for one in digest] == self.asked

    def teardown(self) -> None:
        for _ in range(100):
            self.step(1_800.0)
        assert self.held is None


TestToldByChance = Telling.TestCase
TestToldByChance.settings = settings(max_examples=150, stateful_step_count=40)
TestDigestByChance = Digest.TestCase
TestDigestByChance.settings = settings(max_examples=60, stateful_step_count=40)
