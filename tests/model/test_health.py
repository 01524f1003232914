"""What the health of an integration becomes: by failures among the last runs, by replies, and by what people say."""

from __future__ import annotations

import itertools
from dataclasses import replace

from crossdock.model.health import (
    Facts,
    Health,
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
)
from crossdock.model.health_judging import Judged, acknowledge, judge, resolve, snooze
from crossdock.model.integration import HealthRules, RejectedCalls
from crossdock.model.time import SECOND, Instant, later

INITIALIZING, ACTIVE, WARNING, ERROR, DISABLED = HealthStatus
NOW: Instant = 1_800_000_000 * SECOND
SWITCHED_OFF = Watched("int_a", HealthRules(), enabled=False)


def watched(**rules: object) -> Watched:
    return Watched("int_a", HealthRules(**rules))  # type: ignore[arg-type]


def failed(
    step: str = "send", message: str = "the target answered 500", at: Instant = NOW, kind: str = "http"
) -> RunFailed:
    return RunFailed(f"evt_{step}", kind, step, message, at)


def well(count: int = 1, at: Instant = NOW) -> RunsSucceeded:
    return RunsSucceeded(count, at)


def lost(message: str = "the target answered 500", *, has_expired: bool = False) -> ReplyLost:
    return ReplyLost("evt_r", has_expired, message, NOW)


class Bench:
    """An integration whose health is judged again and again; changes are gathered."""

    def __init__(self, of: Watched | None = None) -> None:
        self.watched = of or watched()
        self.now = NOW
        self.health = new_health(NOW)
        self.changes: list[HealthChange] = []
        self.resolved: list[Issue] = []
        self._ids = itertools.count()

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._ids):06}"

    def take(self, *outcomes: Outcome, facts: Facts | None = None) -> Judged:
        judged = judge(self.health, self.watched, outcomes, facts, self.now, self.new_id)
        self.health = judged.health
        self.changes += judged.changes
        self.resolved += judged.resolved
        return judged

    def look(self, facts: Facts = Facts(), *, after: float = 0.0) -> Judged:  # noqa: B008
        self.now = later(self.now, after)
        return self.take(facts=facts)

    @property
    def status(self) -> HealthStatus:
        return self.health.status

    @property
    def messages(self) -> list[str]:
        return [issue.message for issue in self.health.issues]

    @property
    def path(self) -> list[HealthStatus]:
        """The states that it went through, the first one included."""
        return [INITIALIZING, *(change.status for change in self.changes)]


# --- failures among the last runs ------------------------------------------------------------------------------------


def test_an_integration_is_initializing_until_its_first_run_has_finished() -> None:
    bench = Bench()

    assert bench.take().changes == ()
    assert bench.status is INITIALIZING
    bench.take(well())
    assert bench.path == [INITIALIZING, ACTIVE]


def test_one_failure_is_a_warning_and_five_are_an_error() -> None:
    bench = Bench()

    bench.take(well(3), *[failed()] * 4)
    assert bench.status is WARNING
    bench.take(failed())

    assert bench.path == [INITIALIZING, ACTIVE, WARNING, ERROR]
    assert bench.messages == ["5 of the last 8 runs failed: http at step send: the target answered 500"]


def test_failures_leave_the_window_as_other_runs_go_well() -> None:
    bench = Bench(watched(window=10, error_failures=3))
    bench.take(*[failed()] * 3)
    assert bench.status is ERROR

    bench.take(well(7))
    assert bench.status is ERROR
    bench.take(well(1))
    assert bench.status is WARNING
    bench.take(well(500))

    assert bench.status is ACTIVE
    assert bench.health.window == (10,)
    assert [issue.resolved_at for issue in bench.resolved] == [NOW]


def test_failures_of_several_kinds_count_together_and_are_told_apart() -> None:
    bench = Bench(watched(error_failures=3))

    bench.take(failed("send"), failed("send"), failed("book", "no stock", kind="assert"))

    assert bench.status is ERROR
    assert {issue.status for issue in bench.health.issues} == {ERROR}
    told = [issue.message for issue in bench.changes[-1].issues]
    assert told == [
        "2 of the last 3 runs failed: http at step send: the target answered 500",
        "1 of the last 3 runs failed: assert at step book: no stock",
    ]


def test_an_issue_says_since_when_how_often_and_by_which_event() -> None:
    bench = Bench()

    bench.take(failed(at=NOW), well(2), failed(at=NOW + 5 * SECOND, message="the target answered 502"))

    (issue,) = bench.health.issues
    assert (issue.first_seen, issue.last_seen, issue.count) == (NOW, NOW + 5 * SECOND, 2)
    assert (issue.key, issue.sample_event_id) == ("run:http:send", "evt_send")
    assert "502" in issue.message


def test_a_failure_that_was_over_within_one_look_is_told_all_the_same() -> None:
    bench = Bench(watched(window=2))

    changes = bench.take(well(), failed(), well(2), failed(), well(2)).changes

    assert [change.status for change in changes] == [ACTIVE, WARNING, ACTIVE]
    assert [change.previous_status for change in changes] == [INITIALIZING, ACTIVE, WARNING]
    assert "1 of the last 2 runs failed" in changes[1].issues[0].message


def test_a_flutter_within_one_look_is_told_once() -> None:
    bench = Bench(watched(window=2, error_failures=2))

    flutter: list[Outcome] = [failed(), failed(), well(2)]

    changes = bench.take(*flutter * 50).changes

    assert [change.status for change in changes] == [WARNING, ERROR, ACTIVE]
    assert len(bench.resolved) == 1
    assert bench.resolved[0].count == 100


def test_other_rules_are_applied_to_what_is_known() -> None:
    bench = Bench()
    bench.take(well(5), failed(), failed())
    assert bench.status is WARNING

    bench.watched = watched(error_failures=2)
    bench.take()
    assert bench.status is ERROR
    bench.watched = watched(warning_failures=3)
    bench.take()

    assert bench.status is ACTIVE
    assert bench.health.issues == ()


def test_a_clock_that_is_set_back_takes_no_moment_back() -> None:
    bench = Bench()
    bench.take(well(), failed(at=NOW))
    bench.now = NOW - 3_600 * SECOND

    bench.take(*[failed(at=bench.now)] * 4)

    assert bench.status is ERROR
    assert bench.health.since == NOW
    assert [change.at for change in bench.changes] == sorted(change.at for change in bench.changes)
    assert bench.health.issues[0].first_seen <= bench.health.issues[0].last_seen == NOW


# --- replies ---------------------------------------------------------------------------------------------------------


def test_a_lost_reply_is_a_warning_until_the_next_one_is_delivered() -> None:
    bench = Bench()
    bench.take(well())

    bench.take(lost("the target answered 410 Gone: it wants no replies any more"))
    assert bench.status is WARNING
    assert bench.messages == [
        "the last reply was not delivered: the target answered 410 Gone: it wants no replies any more"
    ]
    bench.take(lost(has_expired=True))
    assert bench.health.issues[0].count == 2
    bench.take(ReplyDelivered(NOW))

    assert bench.path == [INITIALIZING, ACTIVE, WARNING, ACTIVE]


def test_without_a_reply_url_no_lost_reply_is_held_against_it() -> None:
    bench = Bench()
    bench.take(well(), lost())

    bench.watched = replace(bench.watched, has_reply=False)
    bench.take(lost())

    assert bench.status is ACTIVE


# --- switched off ----------------------------------------------------------------------------------------------------


def test_switched_off_is_disabled_whatever_happens_and_on_again_is_as_it_was() -> None:
    bench = Bench()
    bench.take(well(), failed())

    bench.watched = SWITCHED_OFF
    bench.take()
    bench.take(*[failed()] * 4)
    assert bench.status is DISABLED
    assert bench.changes[-1].issues == ()
    bench.watched = watched()
    bench.take()

    assert bench.path == [INITIALIZING, ACTIVE, WARNING, DISABLED, ERROR]


# --- time ------------------------------------------------------------------------------------------------------------


def test_silence_is_a_warning_until_an_event_comes() -> None:
    bench = Bench(watched(silence=3_600.0))
    bench.take(well())
    event_at = NOW + 10 * SECOND

    bench.look(Facts(last_event_at=event_at), after=3_610)
    assert bench.status is ACTIVE
    bench.look(Facts(last_event_at=event_at), after=1)
    assert bench.status is WARNING
    assert bench.messages == ["no event has come for longer than PT1H: the last one came at 2027-01-15T08:00:10.000Z"]
    bench.look(Facts(last_event_at=bench.now))

    assert bench.status is ACTIVE


def test_silence_counts_from_when_it_was_switched_on() -> None:
    bench = Bench(watched(silence=60.0))
    bench.take()

    bench.look(after=61)
    assert bench.status is WARNING
    assert "none has come yet" in bench.messages[0]
    bench.watched = SWITCHED_OFF
    bench.look()
    bench.watched = watched(silence=60.0)
    bench.look(after=600)

    assert bench.status is INITIALIZING


def test_a_forgotten_event_does_not_make_it_silent() -> None:
    bench = Bench(watched(silence=60.0))
    bench.take(well())
    bench.look(Facts(last_event_at=NOW + 50 * SECOND), after=50)

    bench.look(Facts(), after=59)

    assert bench.status is ACTIVE


def test_runs_that_wait_too_long_are_a_warning() -> None:
    bench = Bench(watched(backlog=300.0))
    bench.take(well())

    bench.look(Facts(waiting=(4, NOW)), after=300)
    assert bench.status is ACTIVE
    bench.look(Facts(waiting=(4, NOW)), after=1)
    assert bench.messages == [
        "4 runs wait, and the oldest of them has waited for longer than PT5M: since 2027-01-15T08:00:00.000Z"
    ]
    bench.look(Facts())

    assert bench.path == [INITIALIZING, ACTIVE, WARNING, ACTIVE]


def test_too_many_refused_calls_within_the_period_are_a_warning() -> None:
    bench = Bench(watched(rejected_calls=RejectedCalls(10, 60.0)))
    bench.take(well())
    bench.look(Facts(refused={"unauthorized": 5_000}))

    bench.look(Facts(refused={"unauthorized": 5_010}), after=30)
    assert bench.status is ACTIVE
    bench.look(Facts(refused={"unauthorized": 5_010, "rate_limited": 1}), after=1)
    assert bench.messages == ["11 calls were refused within PT60S: 10 unauthorized, 1 rate_limited"]
    for _ in range(7):
        bench.look(Facts(refused={"unauthorized": 5_010, "rate_limited": 1}), after=10)

    assert bench.path == [INITIALIZING, ACTIVE, WARNING, ACTIVE]
    assert len(bench.health.marks.refusals) <= 11


def test_lanes_that_wait_for_an_operator_are_a_warning_that_names_the_event() -> None:
    bench = Bench()
    bench.take(well())

    bench.look(Facts(blocked=(1, "evt_1")))
    bench.look(Facts(blocked=(2, "evt_1")))

    (issue,) = bench.health.issues
    assert issue.message == (
        "2 lanes wait for an operator: the head of the first one is event evt_1; retry, skip or park it"
    )
    assert (issue.sample_event_id, issue.count, bench.status) == ("evt_1", 2, WARNING)


def test_what_goes_on_is_written_down_anew_once_a_minute() -> None:
    bench = Bench(watched(backlog=1.0))
    bench.look(Facts(waiting=(4, NOW)), after=2)
    before = bench.health

    assert bench.look(Facts(waiting=(5, NOW)), after=30).health == before
    bench.look(Facts(waiting=(6, NOW)), after=30)

    assert bench.health.issues[0].count == 6


# --- what people do --------------------------------------------------------------------------------------------------


def the_issue(bench: Bench) -> Issue:
    return bench.health.issues[0]


def put(bench: Bench, issue: Issue) -> None:
    others = (one for one in bench.health.issues if one.id != issue.id)
    bench.health = replace(bench.health, issues=(*others, issue))


def test_acknowledging_changes_no_state() -> None:
    bench = Bench()
    bench.take(well(), failed())

    put(bench, acknowledge(the_issue(bench), "ada", "looking at it", bench.now))
    bench.take(failed())

    assert bench.status is WARNING
    seen = the_issue(bench)
    assert (seen.acknowledged_by, seen.note, seen.count) == ("ada", "looking at it", 2)


def test_a_snoozed_issue_does_not_count_until_its_time_is_over() -> None:
    bench = Bench(watched(error_failures=3))
    bench.take(well(), failed(), failed(), failed())
    until = later(NOW, 600)

    put(bench, snooze(the_issue(bench), until, "ada", "the ERP is moving", bench.now))
    bench.take()
    assert bench.status is ACTIVE
    bench.take(failed("book", kind="assert"))
    assert bench.status is WARNING
    bench.look(after=600)

    assert bench.path == [INITIALIZING, ACTIVE, WARNING, ERROR, ACTIVE, WARNING, ERROR]


def test_a_snoozed_issue_is_not_told() -> None:
    bench = Bench()
    bench.take(well(), failed())
    put(bench, snooze(the_issue(bench), later(NOW, 600), "ada", None, bench.now))

    bench.take(failed("book", "no stock", kind="assert"))

    assert [issue.message for issue in bench.changes[-1].issues] == [
        "1 of the last 3 runs failed: assert at step book: no stock"
    ]


def test_resolving_forgets_what_was_counted_under_the_key() -> None:
    bench = Bench(watched(error_failures=3))
    bench.take(well(), failed(), failed("book"), failed())

    bench.health, ended = resolve(bench.health, bench.health.issues[1], "ada", "restarted", bench.now)
    bench.take()

    assert (ended.key, ended.resolved_by, ended.resolve_note) == ("run:http:send", "ada", "restarted")
    assert bench.status is WARNING
    assert bench.messages == ["1 of the last 4 runs failed: http at step book: the target answered 500"]
    bench.take(failed())
    assert the_issue(bench).count == 1


def test_a_resolved_silence_is_counted_from_then_on() -> None:
    bench = Bench(watched(silence=60.0))
    bench.take(well())
    bench.look(after=61)

    bench.health, _ = resolve(bench.health, the_issue(bench), "ada", None, bench.now)
    bench.look(after=60)
    assert bench.status is ACTIVE
    bench.look(after=1)

    assert bench.status is WARNING


def test_a_state_keeps_the_moment_it_began() -> None:
    bench = Bench()
    bench.take(well(at=NOW))

    bench.now = later(NOW, 50)
    bench.take(well(at=bench.now))

    assert bench.health.since == NOW


def test_a_judged_health_is_judged_the_same_again() -> None:
    bench = Bench(watched(silence=1.0))
    bench.take(well(), failed(), lost())
    bench.look(after=5)
    before: Health = bench.health

    assert bench.look() == Judged(before)


def test_without_a_workflow_a_recorded_call_is_a_good_sign() -> None:
    bench = Bench(Watched("int_a", HealthRules(), has_workflow=False))

    bench.look()
    assert bench.status is INITIALIZING
    bench.look(Facts(last_event_at=NOW))
    bench.look()

    assert bench.path == [INITIALIZING, ACTIVE]


def test_with_a_workflow_a_recorded_call_says_nothing() -> None:
    bench = Bench(watched(silence=60.0))

    bench.look(Facts(last_event_at=NOW))

    assert bench.status is INITIALIZING
