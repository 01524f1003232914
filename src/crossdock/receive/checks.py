"""Whether a body is what the integration asks for."""

from __future__ import annotations

from crossdock.catalog import LiveIntegration
from crossdock.expressions import json_problem, read_body
from crossdock.model.errors import FieldError, Invalid, Malformed
from crossdock.model.event import Event


def check_body(live: LiveIntegration, event: Event) -> None:
    """Malformed when JSON is asked for and the body is none, Invalid when it does not fit the schema."""
    request = event.request
    if live.integration.trigger.require_json or live.check_body is not None:
        problem = json_problem(request.body)
        if problem is not None:
            raise Malformed(f"the body is not readable as JSON: {problem}")
    if live.check_body is not None:
        problems = live.check_body(read_body("application/json", request.body))
        if problems:
            raise Invalid("the body does not fit the schema", tuple(FieldError("body", text) for text in problems))
