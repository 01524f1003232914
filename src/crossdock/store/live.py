"""What tells that something has changed, in a few cheap questions."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from crossdock.store import schema
from crossdock.store.configuration import configuration_number

FOUND_CHANGES = 1_000
"""Changes of health that are read at once; the rest is read with the next look."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Where things stand."""

    last_change: str = ""
    """The id of the last change of health; '' while there was none."""
    configuration: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """How many calls were refused so far, by integration."""
    changed: dict[str, str] = field(default_factory=dict)
    """The states of integrations whose health has changed behind the change that was asked from."""


def read_marks(connection: Connection, last_change: str | None) -> Marks:
    """Where things stand, with the changes of health behind `last_change`; None asks for none."""
    change, rejection = schema.health_change, schema.rejection
    counts = select(rejection.c.integration_id, func.sum(rejection.c["count"])).group_by(rejection.c.integration_id)
    refused = {row[0]: int(row[1]) for row in connection.execute(counts)}
    changed: dict[str, str] = {}
    if last_change is None:
        last_change = connection.execute(select(func.max(change.c.id))).scalar() or ""
    else:
        query = select(change.c.id, change.c.integration_id, change.c.status).where(change.c.id > last_change)
        for row in connection.execute(query.order_by(change.c.id).limit(FOUND_CHANGES)):
            last_change, changed[row.integration_id] = row.id, row.status
    return Marks(last_change, configuration_number(connection), refused, changed)


def workspaces_of_integrations(connection: Connection) -> dict[str, str]:
    """The ids of all integrations, each with that of its workspace."""
    integration = schema.integration
    return {row[0]: row[1] for row in connection.execute(select(integration.c.id, integration.c.workspace_id))}
