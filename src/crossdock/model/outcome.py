"""What running a step, and what running a run, can end in. Both sets are closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from crossdock.model.emission import Emission
from crossdock.model.time import Instant
from crossdock.model.value import value

Json: TypeAlias = Any
"""A value made of dict (text keys), list, str, int, float, bool and None only."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, in words for an operator. `kind` is a short fixed word for programs."""

    kind: str
    message: str
    step: str | None = None
    permanent: bool = False
    """Trying again can't help."""
    retry_after: float | None = None
    """Seconds that the other side asked to be left alone."""


@value
class Result:
    """What a run hands back. `body` is the exact bytes of the answer; its type is in `headers`."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"null"


NULL_RESULT = Result(200, (("content-type", "application/json"),), b"null")
"""What a run without steps hands back; it is not recorded."""


@value
class Done:
    """The step came to its end."""

    output: Json = None
    result: Result | None = None
    """Set by steps that decide the run's result (`respond`)."""
    emission: Emission | None = None
    """An event that is recorded together with this step."""


@value
class Retry:
    """Failed in passing: trying the step again may help."""

    failure: Failure


@value
class Stop:
    """Failed for good: trying again can't help. `result` overrides the answer to a waiting caller."""

    failure: Failure
    result: Result | None = None


@value
class Wait:
    """Nothing to do before `until`; the run gives its slot back."""

    until: Instant


@value
class Halted:
    """Stopped before its next step, because a neighbour failed. Only steps that hold others end so."""


StepOutcome: TypeAlias = Done | Retry | Stop | Wait | Halted
