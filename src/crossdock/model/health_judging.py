"""What follows for an integration's health from what came of its runs and replies, and from time that passes.

The failures among the last finished runs are counted against the rules: each error kind at each step is an issue, and
how grave all of them are follows from how many there are together. Besides, there are issues for a reply that was
lost, for silence, for runs that wait too long, for too many refused calls and for lanes that wait for an operator. The
state is that of the worst open issue that nobody has snoozed.

Everything that was recorded is counted once, in its order. Of several changes within one evaluation the first into
each state and the last one are kept: a failure that went by is told, a flutter is not. A clock that is set back takes
nothing back: no moment in a record goes before one that it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from crossdock.model.health import (
    BACKLOG,
    BLOCKED,
    REJECTED,
    REPLY,
    SILENCE,
    Cause,
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
    ToldIssue,
    Watched,
    run_key,
)
from crossdock.model.health_time import (
    Condition,
    remember,
    stands_still,
    too_long_silent,
    too_long_waiting,
    too_many_refused,
)
from crossdock.model.health_window import Window
from crossdock.model.integration import HealthRules
from crossdock.model.time import Instant, later

NewId: TypeAlias = Callable[[str], str]
"""An id that begins with a prefix."""

TOLD_ISSUES = 50
"""How many issues a change tells, the worst first."""
REFRESH_SECONDS = 60.0
"""How often what goes on in time is written down anew while it lasts."""
WORST_FIRST = {HealthStatus.ERROR: 0, HealthStatus.WARNING: 1}


@dataclass(frozen=True, slots=True)
class Judged:
    """The health as it is now, what has changed, and the issues that are over."""

    health: Health
    changes: tuple[HealthChange, ...] = ()
    resolved: tuple[Issue, ...] = ()


def judge(
    health: Health,
    watched: Watched,
    outcomes: Sequence[Outcome],
    facts: Facts | None,
    now: Instant,
    new_id: NewId,
) -> Judged:
    """Take outcomes in, in their order, and judge by the rules and, where there are facts, by time."""
    judging = _Judging(health, watched, now, new_id)
    for outcome in outcomes:
        judging.take(outcome)
    if facts is not None:
        judging.look_at(facts)
    return judging.conclude()


# --- what people do --------------------------------------------------------------------------------------------------


def acknowledge(issue: Issue, by: str, note: str | None, now: Instant) -> Issue:
    """Somebody has seen it. The state stays as it is."""
    return replace(issue, acknowledged_at=max(now, issue.first_seen), acknowledged_by=by, note=note)


def snooze(issue: Issue, until: Instant | None, by: str, note: str | None, now: Instant) -> Issue:
    """It does not count for the state until a moment; None: it counts again from now on."""
    return replace(issue, snoozed_until=until, snoozed_at=max(now, issue.first_seen), snoozed_by=by, snooze_note=note)


def resolve(health: Health, issue: Issue, by: str, note: str | None, now: Instant) -> tuple[Health, Issue]:
    """Forget what was counted under the issue's key so far: the health without it, and the issue as it ended.

    What is still so when it is looked at again becomes a new issue.
    """
    window = Window(health.window, sum(entry if isinstance(entry, int) else 1 for entry in health.window))
    window.forgive(issue.key)
    marks = health.marks
    if issue.key == SILENCE:
        marks = replace(marks, forgiven_at=now)
    elif issue.key == REJECTED:
        marks = replace(marks, refusals=marks.refusals[-1:])
    ended = replace(issue, resolved_at=max(now, issue.last_seen), resolved_by=by, resolve_note=note)
    without = replace(
        health,
        window=window.entries,
        causes={key: cause for key, cause in health.causes.items() if key in window.failures},
        marks=marks,
        issues=tuple(one for one in health.issues if one.id != issue.id),
    )
    return without, ended


# --- one evaluation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    at: Instant
    status: HealthStatus
    issues: tuple[ToldIssue, ...]


class _Judging:
    """The health while it is judged."""

    def __init__(self, health: Health, watched: Watched, now: Instant, new_id: NewId) -> None:
        self._before = health
        self._rules: HealthRules = watched.rules
        self._watched = watched
        self._now = now
        self._new_id = new_id
        self._window = Window(health.window, watched.rules.window)
        self._causes = dict(health.causes)
        self._open = {issue.key: issue for issue in health.issues}
        self._resolved: dict[str, Issue] = {}
        self._status, self._since = health.status, health.since
        self._steps: list[_Step] = []
        since = health.marks.enabled_since
        self._marks = replace(health.marks, enabled_since=(since or now) if watched.enabled else None)
        if not watched.has_reply:
            self._close(REPLY, now)
        self._weigh(now)  # settings may have changed, and snoozes ended, before what is taken in now

    # --- what came of runs and replies ---

    def take(self, outcome: Outcome) -> None:
        """Count one outcome."""
        match outcome:
            case RunsSucceeded(count, at):
                while count > 0:
                    count -= self._window.succeed(count)
                    self._weigh(at)
            case RunFailed():
                key = run_key(outcome.kind, outcome.step)
                self._causes[key] = Cause(outcome.kind, outcome.step, outcome.message, outcome.event_id)
                self._window.fail(key, outcome.at)
                self._weigh(outcome.at, failed=key)
            case ReplyDelivered(at):
                self._close(REPLY, at)
                self._weigh(at)
            case ReplyLost():
                if self._watched.has_reply:
                    self._lose_reply(outcome)
                    self._weigh(outcome.at)
            case _:
                assert_never(outcome)

    def _lose_reply(self, lost: ReplyLost) -> None:
        what = "the last reply was not delivered in time" if lost.has_expired else "the last reply was not delivered"
        message, at = f"{what}: {lost.message}", lost.at
        known = self._open.get(REPLY) or self._new_issue(REPLY, at, count=0)
        self._open[REPLY] = replace(
            known,
            message=message,
            count=known.count + 1,
            last_seen=max(known.last_seen, at),
            sample_event_id=lost.event_id,
        )

    # --- what time does ---

    def look_at(self, facts: Facts) -> None:
        """Judge by time. While it is switched off, nothing is expected of an integration."""
        now, rules = self._now, self._rules
        self._marks = remember(self._marks, facts, rules, now)
        marks = self._marks
        if self._watched.enabled:
            self._hold(SILENCE, too_long_silent(marks, rules.silence, now))
            self._hold(BACKLOG, too_long_waiting(facts.waiting, rules.backlog, now))
            self._hold(REJECTED, too_many_refused(marks, facts, rules.rejected_calls, now))
        else:
            for key in (SILENCE, BACKLOG, REJECTED):
                self._close(key, now)
        self._hold(BLOCKED, stands_still(facts.blocked))

    def _hold(self, key: str, condition: Condition | None) -> None:
        """Open the issue of something that goes on in time, or write it down anew, or close it when it is over."""
        if condition is None:
            self._close(key, self._now)
            return
        known = self._open.get(key)
        is_due = known is None or self._now >= later(known.last_seen, REFRESH_SECONDS)
        if known is None:
            known = self._new_issue(key, self._now, count=condition.count)
        if is_due or (condition.is_rare and condition.message != known.message):
            self._open[key] = replace(
                known,
                message=condition.message,
                count=condition.count,
                sample_event_id=condition.event_id,
                last_seen=max(known.last_seen, self._now),
            )

    # --- the state ---

    def _weigh(self, at: Instant, failed: str | None = None) -> None:
        """Bring the issues of failed runs up to what the window holds, then the state. `failed` has just failed."""
        self._weigh_runs(at, failed)
        status = self._judge_status()
        if status is not self._status:
            self._since = max(self._since, at)
            self._steps.append(_Step(self._since, status, self._told()))
            self._status = status

    def _weigh_runs(self, at: Instant, failed: str | None) -> None:
        failures = self._window.failures
        asleep = {key for key, issue in self._open.items() if issue.is_snoozed(self._now)}
        together = sum(failures.values())
        level = self._level(together - sum(failures[key] for key in asleep))
        for key in [key for key in self._open if key.startswith("run:") and key not in failures]:
            self._close(key, at)
        for key in failures:
            own_level = self._level(together) if key in asleep else level
            known = self._open.get(key)
            if own_level is None:
                self._close(key, at)
            elif known is None:
                first_at = self._window.first_at(key) or at
                new = self._new_issue(key, min(first_at, at), count=failures[key])
                self._open[key] = self._described(replace(new, status=own_level, last_seen=max(new.last_seen, at)))
            elif key == failed:
                seen = replace(known, count=known.count + 1, last_seen=max(known.last_seen, at))
                self._open[key] = self._described(replace(seen, status=own_level))
            elif known.status is not own_level:
                self._open[key] = replace(known, status=own_level)

    def _level(self, failures: int) -> HealthStatus | None:
        if failures >= self._rules.error_failures:
            return HealthStatus.ERROR
        return HealthStatus.WARNING if failures >= self._rules.warning_failures else None

    def _judge_status(self) -> HealthStatus:
        if not self._watched.enabled:
            return HealthStatus.DISABLED
        statuses = {issue.status for issue in self._open.values() if not issue.is_snoozed(self._now)}
        for status in (HealthStatus.ERROR, HealthStatus.WARNING):
            if status in statuses:
                return status
        # without a workflow a call is handled when it is recorded: no run ends that could tell of it
        has_recorded = not self._watched.has_workflow and self._marks.last_event_at is not None
        return HealthStatus.ACTIVE if self._window.runs or has_recorded else HealthStatus.INITIALIZING

    def _told(self) -> tuple[ToldIssue, ...]:
        """The reasons for the state, the worst first."""
        if not self._watched.enabled:
            return ()
        counted = [self._described(issue) for issue in self._open.values() if not issue.is_snoozed(self._now)]
        counted.sort(key=lambda issue: (WORST_FIRST[issue.status], -issue.count, issue.key))
        return tuple(ToldIssue(issue.status, issue.message) for issue in counted[:TOLD_ISSUES])

    # --- issues ---

    def _new_issue(self, key: str, at: Instant, count: int) -> Issue:
        """A new issue, or again the one that was over a moment ago: nobody has heard of its end yet."""
        old = self._resolved.pop(key, None)
        if old is not None:
            return replace(old, resolved_at=None, count=old.count + count, last_seen=max(old.last_seen, at))
        return Issue(self._new_id("iss"), key, HealthStatus.WARNING, "", at, at, count)

    def _close(self, key: str, at: Instant) -> None:
        issue = self._open.pop(key, None)
        if issue is not None:
            self._resolved[key] = replace(self._described(issue), resolved_at=max(at, issue.last_seen))

    def _described(self, issue: Issue) -> Issue:
        """A run's issue in the words of what the window holds now."""
        cause, failures = self._causes.get(issue.key), self._window.failures[issue.key]
        if cause is None or not failures:  # what is not about runs, and what is over, keeps its words
            return issue
        runs = f"{failures} of the last {self._window.runs} runs" if self._window.runs > 1 else "the only run"
        place = f"{cause.kind} at step {cause.step}" if cause.step else cause.kind
        message = f"{runs} failed: {place}: {cause.message}"
        return replace(issue, message=message, sample_event_id=cause.event_id)

    # --- the end ---

    def conclude(self) -> Judged:
        self._weigh(self._now)
        health = Health(
            status=self._status,
            since=self._since,
            window=self._window.entries,
            causes={key: cause for key, cause in self._causes.items() if key in self._window.failures},
            marks=self._marks,
            issues=tuple(self._described(self._open[key]) for key in sorted(self._open)),
        )
        return Judged(health, self._changes(), tuple(self._resolved.values()))

    def _changes(self) -> tuple[HealthChange, ...]:
        """The first change into each state and the last one, as a chain without gaps."""
        kept: dict[HealthStatus, _Step] = {}
        for step in self._steps:
            kept.setdefault(step.status, step)
        steps = list(kept.values())
        if self._steps and steps[-1].status is not self._steps[-1].status:
            steps.append(self._steps[-1])
        changes: list[HealthChange] = []
        previous = self._before.status
        for step in steps:
            if step.status is previous:
                continue
            change_id = self._new_id("hch")
            changes.append(
                HealthChange(change_id, self._watched.integration_id, step.at, step.status, previous, step.issues)
            )
            previous = step.status
        return tuple(changes)
