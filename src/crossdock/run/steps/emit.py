"""`emit`: hands a new event to another integration of the workspace.

The event is recorded in the same commit as the step, so it is there exactly once, or not at all. It goes through the
other integration's ordering key, not through its authentication, limits of rate and deduplication, which guard calls
from outside. A trace goes on in it: the headers that say so are the event's, as those of a caller would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from crossdock.catalog import LiveIntegration
from crossdock.clock import new_id
from crossdock.event_keys import find_keys
from crossdock.expressions import CompiledTree, read_body
from crossdock.model.emission import MAX_DEPTH, Emission
from crossdock.model.errors import Invalid
from crossdock.model.event import Event, Request
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Done, Failure, Json, Retry, StepOutcome, Stop
from crossdock.model.trace import with_trace
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import kind_of, refuse, require_object, text_at, value_at
from crossdock.run.steps.respond import headers_at

CONTENTS = ("json", "text")
_CONTENT_TYPES = {"json": "application/json", "text": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Emit:
    integration: CompiledTree
    content: tuple[str, CompiledTree]
    query: tuple[tuple[str, CompiledTree], ...]
    headers: tuple[tuple[str, CompiledTree], ...]
    is_pure = False
    is_quick = False
    branches = ()
    records_input = True

    @property
    def steps(self) -> frozenset[str]:
        trees = [self.integration, self.content[1], *(tree for _, tree in (*self.query, *self.headers))]
        return frozenset().union(*(tree.steps for tree in trees))

    def prepare(self, names: Mapping[str, Json]) -> Json:
        kind, tree = self.content
        given: dict[str, Json] = {"integration": _text("integration", self.integration.evaluate(names))}
        given[kind] = tree.evaluate(names) if kind == "json" else _text("text", tree.evaluate(names))
        given["query"] = {name: _text(f"query.{name}", tree.evaluate(names)) for name, tree in self.query}
        given["headers"] = {name: _text(f"headers.{name}", tree.evaluate(names)) for name, tree in self.headers}
        return given

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        if context.event.depth + 1 > MAX_DEPTH:
            words = f"this event is the {MAX_DEPTH}th in a row of events that emit others: they go round in a circle"
            return _stop("emit_depth", words)
        try:
            target = context.outside.find_target(context.event.integration_id, given["integration"])
        except LookupError as error:
            return _stop("unknown_integration", str(error.args[0]))
        name = target.integration.name
        if not target.integration.enabled:
            return Retry(
                Failure("integration_disabled", f"the integration {name!r} is disabled; enable it, or drop this step")
            )
        event = _event(given, context, target)
        problem = _problem(event, target)
        if problem is not None:
            return _stop("not_accepted", f"{name!r} does not accept the event: {problem}")
        try:
            _, lane_key = find_keys(target, event)
        except Invalid as error:
            return _stop("not_accepted", f"{name!r} does not accept the event: {error}")
        emission = Emission(event, target.integration.workflow_number, lane_key)
        return Done({"id": event.id, "integration": name}, emission=emission)


def _event(given: Json, context: StepContext, target: LiveIntegration) -> Event:
    kind = next(kind for kind in CONTENTS if kind in given)
    body = msgspec.json.encode(given[kind]) if kind == "json" else given[kind].encode()
    headers = {name.lower(): value for name, value in given["headers"].items()}
    content_type = headers.setdefault("content-type", _CONTENT_TYPES[kind])
    request = Request(
        method="POST",
        path=f"/hooks/{target.integration.workspace}/{target.integration.path}",
        query=tuple(given["query"].items()),
        headers=with_trace(tuple(headers.items()), context.trace),
        content_type=content_type,
        body=body,
    )
    own = context.event
    return Event(new_id("evt"), target.integration.id, context.now(), request, emitted_by=own.id, depth=own.depth + 1)


def _problem(event: Event, target: LiveIntegration) -> str | None:
    """Why the integration would refuse such a call."""
    limit = target.integration.trigger.max_body_bytes
    if len(event.request.body) > limit:
        return f"its body has {len(event.request.body)} bytes, and {limit} are the most there"
    if target.check_body is not None:
        problems = target.check_body(read_body("application/json", event.request.body))
        return "; ".join(problems) or None
    return None


def _stop(kind: str, message: str) -> Stop:
    return Stop(Failure(kind, message, permanent=True))


def _text(field: str, value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ExpressionError(f"emit.{field} is {kind_of(value)}, and text or a number is needed")
    return str(value)


def compile_emit(settings: Json, field: str, around: Compiling) -> Emit:
    known = ("integration", *CONTENTS, "query", "headers")
    written = require_object(settings, field, allowed=known, required=("integration",))
    contents = [kind for kind in CONTENTS if kind in written]
    if len(contents) != 1:
        refuse(field, "an event has exactly one of json and text")
    kind = contents[0]
    compile_content = value_at if kind == "json" else text_at
    query = written.get("query", {})
    if not isinstance(query, dict):
        refuse(f"{field}.query", "an object of parameter names and their values is needed")
    return Emit(
        text_at(written["integration"], f"{field}.integration", around.names),
        (kind, compile_content(written[kind], f"{field}.{kind}", around.names)),
        tuple((name, value_at(value, f"{field}.query.{name}", around.names)) for name, value in query.items()),
        headers_at(written.get("headers", {}), f"{field}.headers", around.names),
    )
