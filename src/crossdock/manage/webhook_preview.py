"""What a body template makes of an example, or of what really happened last: nothing is sent, nothing is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.refusals import invalid
from crossdock.manage.webhook_documents import SUBJECT
from crossdock.model.errors import FieldError, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.notices.payload import About, mock_digest, mock_payload, mock_recovery, payload_of
from crossdock.notices.template import TemplateFailed, compile_template
from crossdock.notices.template_text import TemplateRefused
from crossdock.outbound.redaction import REDACTED
from crossdock.store import Store
from crossdock.store.health import history_page
from crossdock.store.integrations import integration_by_id

EXAMPLES: Mapping[str, Callable[[Instant], dict[str, Json]]] = {
    "change": mock_payload,
    "recovery": mock_recovery,
    "digest": mock_digest,
}
"""Made-up payloads by name."""


async def preview_template(
    store: Store, now: Clock, actor: Actor, *, template: str | None, example: str, secret_names: tuple[str, ...]
) -> Json:
    """`{body, error, payload}`: what the template makes of an example, or of an integration's last change by its id.

    Secrets are shown as they are in records, masked. NotFound for an integration without a change.
    """
    payload = await _payload(store, now, actor, example)
    if template is None:
        return {"body": payload, "error": None, "payload": payload}
    try:
        rendered = await asyncio.to_thread(_render, template, payload, secret_names)
    except (TemplateRefused, TemplateFailed) as error:
        return {"body": None, "error": str(error), "payload": payload}
    return {"body": rendered, "error": None, "payload": payload}


def _render(template: str, payload: dict[str, Json], secret_names: tuple[str, ...]) -> Json:
    compiled = compile_template(template, secret_names)
    rendered: Json = msgspec.json.decode(compiled.render(payload, dict.fromkeys(secret_names, REDACTED)))
    return rendered


async def _payload(store: Store, now: Clock, actor: Actor, example: str) -> dict[str, Json]:
    if example in EXAMPLES:
        return EXAMPLES[example](now())
    if not example.startswith("int_"):
        known = ", ".join(EXAMPLES)
        raise invalid(SUBJECT, (FieldError("example", f"must be one of {known}, or the id of an integration"),))
    stored = await store.read(integration_by_id, actor.workspace_id, example, now())
    changes = [] if stored is None else await store.read(history_page, example, limit=1)
    if stored is None or not changes:
        raise NotFound(f"the integration {example[:64]} is not here, or its health has not changed yet")
    row = stored.row
    return payload_of(changes, lambda _: About(row.name, row.type, f"/integrations/{row.id}"))
