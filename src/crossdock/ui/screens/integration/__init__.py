"""One integration: its tabs Overview, Access, Code and Lanes. Events, Workflow and Settings are screens of their own
inside the same frame (`templates/integration/frame.html`)."""

from __future__ import annotations

from crossdock.ui.screens.integration.overview import decide, delete, show, switch
from crossdock.ui.visit import reads, writes

_ONE = "/integrations/{integration_id}"

routes = (
    reads(_ONE, show),
    writes(f"{_ONE}/status", switch),
    writes(f"{_ONE}/delete", delete),
    writes(f"{_ONE}/issues/{{issue_id}}/{{deed}}", decide),
)

__all__ = ["routes"]
