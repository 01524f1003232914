"""A run that is over, with all that it left: what a trial goes along."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from crossdock.model.event import Event
from crossdock.model.outcome import Failure
from crossdock.model.run import JournalEntry
from crossdock.model.states import RunState
from crossdock.store.accept import event_of
from crossdock.store.journal import read_entries
from crossdock.store.schema import event, integration, run


@dataclass(frozen=True, slots=True)
class PastRun:
    """An event with its run, which may not have ended yet."""

    event: Event
    state: RunState
    workflow_number: int
    starts: int
    """Starts since it was last released by hand."""
    failure: Failure | None
    journal: tuple[JournalEntry, ...]


def past_run(connection: Connection, workspace_id: str, event_id: str) -> PastRun | None:
    """None when the workspace has no such event."""
    joined = event.join(run, run.c.event_id == event.c.id).join(integration, integration.c.id == event.c.integration_id)
    columns = (run.c.state, run.c.workflow_number, run.c.attempts, run.c.error_kind, run.c.error_message)
    query = (
        select(event, *columns, run.c.error_step)
        .select_from(joined)
        .where(event.c.id == event_id, integration.c.workspace_id == workspace_id)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    failure = Failure(row.error_kind, row.error_message or "", row.error_step) if row.error_kind else None
    entries = read_entries(connection, [event_id]).get(event_id, ())
    state = RunState(row.state)
    return PastRun(event_of(row), state, row.workflow_number, max(row.attempts, 1), failure, entries)
