"""One integration: its tabs Overview, Access, Code and Lanes. Events, Workflow and Settings are screens of their own
inside the same frame (`templates/integration/frame.html`)."""

from __future__ import annotations

from crossdock.ui.screens.integration import access, code, lanes
from crossdock.ui.screens.integration.overview import decide, delete, show, switch
from crossdock.ui.visit import reads, writes

_ONE = "/integrations/{integration_id}"
_KEY = f"{_ONE}/access/keys/{{key_id}}"

routes = (
    reads(_ONE, show),
    writes(f"{_ONE}/status", switch),
    writes(f"{_ONE}/delete", delete),
    writes(f"{_ONE}/issues/{{issue_id}}/{{deed}}", decide),
    reads(f"{_ONE}/access", access.show),
    writes(f"{_ONE}/access/keys", access.add_key),
    writes(_KEY, access.change_key),
    writes(f"{_KEY}/switch", access.switch_key),
    writes(f"{_KEY}/delete", access.delete_key),
    writes(f"{_ONE}/access/signing-secret", access.show_signing_secret),
    writes(f"{_ONE}/access/signing-secret/rotate", access.rotate_signing_secret),
    reads(f"{_ONE}/code", code.show),
    reads(f"{_ONE}/code/file", code.send_file),
    writes(f"{_ONE}/code", code.compare),
    writes(f"{_ONE}/code/apply", code.apply),
    reads(f"{_ONE}/lanes", lanes.show),
    writes(f"{_ONE}/lanes/{{decision}}", lanes.decide),
)

__all__ = ["routes"]
