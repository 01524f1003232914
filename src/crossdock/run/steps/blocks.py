"""What the kinds that hold steps share."""

from __future__ import annotations

from crossdock.model.outcome import Done, Halted, Json, Retry, StepOutcome, Stop, Wait
from crossdock.run.steps.contract import Inner, StepContext, Steps, StepsEnd


def inner_of(context: StepContext) -> Inner:
    """What runs the steps of a block; the walk gives it to every step with branches."""
    assert context.inner is not None
    return context.inner


def is_pure(branches: tuple[Steps, ...]) -> bool:
    return all(step.action.is_pure for steps in branches for step in steps)


def is_quick(branches: tuple[Steps, ...]) -> bool:
    return all(step.action.is_quick for steps in branches for step in steps)


def outcome_of(end: StepsEnd, output: Json) -> StepOutcome:
    """What a block ends in when its steps end so; `output` counts where they came to their end."""
    match end:
        case Stop(failure, result):
            return end if failure.permanent or result is not None else Retry(failure)
        case Wait() | Halted():
            return end
        case _:
            return Done(output)
