"""Whatever happens in whatever order, the state is what a plain count says, and the changes are a chain."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crossdock.model.health import (
    Facts,
    HealthChange,
    HealthStatus,
    Issue,
    Outcome,
    ReplyDelivered,
    ReplyLost,
    RunFailed,
    RunsSucceeded,
    Watched,
    new_health,
    run_key,
)
from crossdock.model.health_judging import acknowledge, judge, resolve, snooze
from crossdock.model.integration import HealthRules
from crossdock.model.time import SECOND, Instant, later

START: Instant = 1_800_000_000 * SECOND
KINDS = ("http", "assert", "timeout")

some_rules = st.builds(
    HealthRules,
    window=st.integers(3, 12),
    warning_failures=st.integers(1, 3),
    error_failures=st.integers(1, 3),
    silence=st.none() | st.integers(1, 100).map(float),
)


class Counted:
    """The plain count: all finished runs one by one, the lost reply, and what people have said."""

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.enabled = True
        self.runs: list[str | None] = []
        self.lost_replies = 0
        self.asleep: dict[str, Instant] = {}
        self.last_sign = START

    def add(self, failed: str | None) -> None:
        self.runs.append(failed)
        self.trim()

    def trim(self) -> None:
        self.runs = self.runs[-self.rules.window :]

    def status(self, now: Instant, *, is_silent: bool) -> HealthStatus:
        if not self.enabled:
            return HealthStatus.DISABLED
        sleeping = {key for key, until in self.asleep.items() if now < until}
        failures = sum(1 for key in self.runs if key is not None and key not in sleeping)
        if failures >= self.rules.error_failures:
            return HealthStatus.ERROR
        besides = (self.lost_replies and "reply" not in sleeping) or (is_silent and "silence" not in sleeping)
        if failures >= self.rules.warning_failures or besides:
            return HealthStatus.WARNING
        return HealthStatus.ACTIVE if self.runs else HealthStatus.INITIALIZING


class Walk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.limits = HealthRules(window=5, error_failures=3)
        self.counted = Counted(self.limits)
        self.now = START
        self.health = new_health(START)
        self.waiting: list[Outcome] = []
        self.changes: list[HealthChange] = []
        self.ended: list[Issue] = []
        self.is_silent = False
        self.last_event_at: Instant | None = None
        self.ids = itertools.count()

    # --- what happens; it is taken in later ---

    @rule(count=st.integers(1, 15))
    def runs_go_well(self, count: int) -> None:
        self.waiting.append(RunsSucceeded(count, self.now))

    @rule(kind=st.sampled_from(KINDS), step=st.sampled_from(["send", None]))
    def a_run_fails(self, kind: str, step: str | None) -> None:
        self.waiting.append(RunFailed("evt_1", kind, step, "it said no", self.now))

    @rule(is_lost=st.booleans())
    def a_reply_ends(self, is_lost: bool) -> None:
        self.waiting.append(ReplyLost("evt_1", False, "gone", self.now) if is_lost else ReplyDelivered(self.now))

    @rule(seconds=st.integers(-200, 200))
    def the_clock_is_set(self, seconds: int) -> None:
        self.now = later(self.now, seconds)

    @rule(rules=some_rules)
    def the_rules_change(self, rules: HealthRules) -> None:
        self.judge()
        self.limits = self.counted.rules = rules
        self.judge()

    @rule()
    def it_is_switched(self) -> None:
        self.judge()
        self.counted.enabled = not self.counted.enabled
        self.judge()

    # --- what people do ---

    @rule(data=st.data(), seconds=st.integers(-10, 300))
    def somebody_snoozes(self, data: Any, seconds: int) -> None:
        self.judge()
        if self.health.issues:
            issue = data.draw(st.sampled_from(self.health.issues))
            until = later(self.now, seconds)
            asleep = snooze(issue, until, "ada", None, self.now)
            self.replace(asleep)
            self.counted.asleep[issue.key] = until

    @rule(data=st.data())
    def somebody_resolves(self, data: Any) -> None:
        self.judge()
        if self.health.issues:
            issue = data.draw(st.sampled_from(self.health.issues))
            self.health, ended = resolve(self.health, issue, "ada", None, self.now)
            self.ended.append(ended)
            self.counted.runs = [None if key == issue.key else key for key in self.counted.runs]
            if issue.key == "reply":
                self.counted.lost_replies = 0
            if issue.key == "silence":
                self.is_silent = False

    @rule(data=st.data())
    def somebody_acknowledges(self, data: Any) -> None:
        if self.health.issues:
            self.replace(acknowledge(data.draw(st.sampled_from(self.health.issues)), "ada", None, self.now))

    def replace(self, issue: Issue) -> None:
        others = [one for one in self.health.issues if one.id != issue.id]
        self.health = replace(self.health, issues=tuple(sorted((*others, issue), key=lambda one: one.key)))

    # --- judging ---

    @rule(has_facts=st.booleans(), has_event=st.booleans())
    def it_is_looked_at(self, has_facts: bool, has_event: bool) -> None:
        if has_event:
            self.last_event_at = max(self.now, self.last_event_at or self.now)
        self.judge(Facts(last_event_at=self.last_event_at) if has_facts else None)

    def judge(self, facts: Facts | None = None) -> None:
        watched = Watched("int_a", self.limits, self.counted.enabled)
        outcomes, self.waiting = self.waiting, []
        self.count(outcomes)
        judged = judge(self.health, watched, outcomes, facts, self.now, lambda prefix: f"{prefix}_{next(self.ids):06}")
        if facts is not None:
            marks, silence = judged.health.marks, self.limits.silence
            signs = (marks.enabled_since, marks.last_event_at, marks.forgiven_at)
            since = max((sign for sign in signs if sign is not None), default=None)
            self.is_silent = (
                self.counted.enabled and silence is not None and since is not None and self.now > later(since, silence)
            )
        self.health = judged.health
        self.changes += judged.changes
        self.ended += judged.resolved
        self.forget_sleep()
        assert self.health.status is self.counted.status(self.now, is_silent=self.is_silent)

    def count(self, outcomes: list[Outcome]) -> None:
        self.counted.trim()
        for outcome in outcomes:
            match outcome:
                case RunsSucceeded(count, _):
                    for _ in range(count):
                        self.counted.add(None)
                case RunFailed():
                    self.counted.add(run_key(outcome.kind, outcome.step))
                case ReplyDelivered():
                    self.counted.lost_replies = 0
                case ReplyLost():
                    self.counted.lost_replies += 1

    def forget_sleep(self) -> None:
        """A snooze belongs to its issue, and ends with it."""
        is_open = {issue.key for issue in self.health.issues}
        self.counted.asleep = {key: at for key, at in self.counted.asleep.items() if key in is_open}

    # --- what always holds ---

    @invariant()
    def changes_are_a_chain_without_gaps(self) -> None:
        status = HealthStatus.INITIALIZING
        for change in self.changes:
            assert change.previous_status is status
            assert change.status is not status
            status = change.status
        assert self.health.status is status

    @invariant()
    def nothing_is_recorded_twice_or_goes_back_in_time(self) -> None:
        ids = [change.id for change in self.changes]
        assert len(set(ids)) == len(ids)
        moments = [change.at for change in self.changes]
        assert moments == sorted(moments)
        assert all(issue.first_seen <= issue.last_seen for issue in (*self.health.issues, *self.ended))

    @invariant()
    def issues_are_open_or_over_and_each_key_is_open_once(self) -> None:
        keys = [issue.key for issue in self.health.issues]
        assert len(set(keys)) == len(keys)
        assert all(issue.resolved_at is None and issue.message for issue in self.health.issues)
        assert all(issue.resolved_at is not None and issue.message for issue in self.ended)


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=40)

some_outcomes = st.lists(
    st.one_of(
        st.integers(1, 30).map(lambda count: RunsSucceeded(count, START)),
        st.sampled_from(KINDS).map(lambda kind: RunFailed("evt_1", kind, "send", "no", START)),
        st.just(ReplyDelivered(START)),
        st.just(ReplyLost("evt_1", False, "gone", START)),
    ),
    max_size=40,
)


@given(some_outcomes, st.lists(st.integers(0, 40), max_size=5), some_rules)
def test_taking_in_bit_by_bit_comes_to_the_same_as_all_at_once(
    outcomes: list[Outcome], cuts: list[int], rules: HealthRules
) -> None:
    watched = Watched("int_a", rules)
    edges = [0, *sorted(cuts), len(outcomes)]

    at_once = judge(new_health(START), watched, outcomes, None, START, str).health
    health = new_health(START)
    for begin, end in itertools.pairwise(edges):
        health = judge(health, watched, outcomes[begin:end], None, START, str).health

    assert (health.status, health.window, health.causes) == (at_once.status, at_once.window, at_once.causes)
    told = [(issue.key, issue.status, issue.message) for issue in health.issues]
    assert told == [(issue.key, issue.status, issue.message) for issue in at_once.issues]
