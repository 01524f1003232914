"""An event that a workflow makes."""

from __future__ import annotations

from crossdock.model.event import Event
from crossdock.model.value import value

MAX_DEPTH = 16
"""How many events may stand in a chain in which each emits the next: a circle ends here."""


@value
class Emission:
    """An event that a step hands to another integration. It is recorded with the step, or not at all."""

    event: Event
    workflow_number: int
    lane_key: str | None = None
