"""The answer that a caller would get, for whoever tries a workflow out."""

from __future__ import annotations

from crossdock.catalog import LiveIntegration
from crossdock.model.event import Event
from crossdock.model.outcome import Result
from crossdock.model.verdict import Outcome
from crossdock.receive.answering import accepted_answer, is_sync, outcome_answer


def preview_answer(live: LiveIntegration, event: Event, outcome: Outcome | None) -> Result:
    """For this outcome of the event; None: it would not be there in time."""
    if is_sync(live):
        answer = outcome_answer(live, event.id, event.received_at, outcome)
    else:
        answer = accepted_answer(live, event.id, event.received_at)
    headers = tuple((name.decode("latin-1"), text.decode("latin-1")) for name, text in answer.headers)
    return Result(answer.status, headers, answer.body)
