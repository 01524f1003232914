"""What the end of one start of a run means for the run."""

from __future__ import annotations

from dataclasses import replace

from crossdock.model.advance import Broken, Ended, Paused, RunEnd
from crossdock.model.outcome import Failure, Result
from crossdock.model.retry import RetryPolicy
from crossdock.model.run import JournalEntry, LeasedRun
from crossdock.model.states import FINAL_RUN_STATES, RUN_MOVES, RunMove
from crossdock.model.time import Instant, later
from crossdock.model.trigger import OnExhausted
from crossdock.model.value import value


@value
class Verdict:
    """The run's next move. `due_at` is set where it waits for a time; `result` is what a waiting caller gets."""

    move: RunMove
    entry: JournalEntry | None = None
    due_at: Instant | None = None
    failure: Failure | None = None
    result: Result | None = None

    @property
    def is_final(self) -> bool:
        return RUN_MOVES[self.move][1] in FINAL_RUN_STATES

    @property
    def answers_caller(self) -> bool:
        """Whether nothing better will come soon: the run has ended, or only an operator can move it on."""
        return self.is_final or self.move is RunMove.BLOCK


def judge_run(
    end: RunEnd,
    run: LeasedRun,
    *,
    policy: RetryPolicy,
    on_exhausted: OnExhausted,
    now: Instant,
    fraction: float,
) -> Verdict:
    """Decide whether the run has ended, waits, is tried again, or blocks its lane.

    `fraction` is a random number in [0, 1), for the jitter of the backoff.
    """
    match end:
        case Ended(entry, result):
            return Verdict(RunMove.SUCCEED, entry, result=result)
        case Paused(entry, until):
            return Verdict(RunMove.DELAY, entry, due_at=until)
        case Broken(entry, failure, result):
            if not failure.permanent and policy.has_another(run.attempts):
                wait = policy.delay_before_next(run.attempts, fraction, failure.retry_after)
                return Verdict(RunMove.RETRY, entry, later(now, wait), failure)
            if run.lane is not None and on_exhausted is OnExhausted.BLOCK:
                return Verdict(RunMove.BLOCK, entry, None, failure, result)
            return Verdict(RunMove.FAIL, _with_result(entry, result), None, failure, result)


def _with_result(entry: JournalEntry | None, result: Result | None) -> JournalEntry | None:
    """The last entry with the answer that a failed run chose: who asks later gets the same."""
    if entry is None or result is None or entry.result is not None:
        return entry
    return replace(entry, result=result)


CANCELED = Failure("canceled", "canceled by an operator", permanent=True)


@value
class Outcome:
    """What a caller who waits for an event is told: the result, or why there is none (and the answer it chose)."""

    event_id: str
    result: Result | None = None
    failure: Failure | None = None
