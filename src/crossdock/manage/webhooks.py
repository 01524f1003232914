"""Notification webhooks: made, listed, shown, changed, deleted. A change is live here when its answer is given."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from crossdock.catalog import Catalog
from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of, save_entry
from crossdock.manage.credentials import Secrets
from crossdock.manage.documents import check_size
from crossdock.manage.merge import merge_patch
from crossdock.manage.notification_documents import (
    integrations_told,
    notification_line,
    standing_document,
    template_document,
)
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import invalid, refuse_read_only
from crossdock.manage.revisions import check_revision
from crossdock.manage.webhook_documents import SUBJECT, WebhookRules
from crossdock.manage.webhook_preview import preview_template
from crossdock.manage.webhook_saving import WebhookDrafting, WebhookSave, editable
from crossdock.model.errors import Conflict, FieldError, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.notices.payload import PAYLOAD_SCHEMA, mock_digest, mock_payload, mock_recovery
from crossdock.notices.ready_made import READY_MADE
from crossdock.notices.sending import NoticeSender, invocation_document
from crossdock.notices.webhook import WebhookIdentity, read_webhook
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited, audited_with, record
from crossdock.store.named import NameTaken, Overtaken
from crossdock.store.notice_deliveries import WebhookRecord, read_records
from crossdock.store.notifications import held_notices_of_each, list_notifications
from crossdock.store.webhooks import (
    StoredWebhook,
    WebhookFilter,
    WebhookRow,
    add_webhook,
    delete_webhook,
    integration_names,
    save_webhook,
    webhook_by_id,
    webhooks_page,
    workspace_webhooks,
)
from crossdock.vault import Vault

READ_ONLY = frozenset(
    {"id", "revision", "created_at", "updated_at", "filtered_integrations", "status", "held", "warnings"}
)
"""Fields that Crossdock sets; a change that carries them, as one made from a GET does, may leave them in."""

SHOWN_HELD = 20
"""How many held notices a webhook's document shows."""


@dataclass(frozen=True, slots=True)
class WebhookPorts:
    """What managing notification webhooks works with."""

    store: Store
    vault: Vault
    catalog: Catalog
    rules: WebhookRules
    now: Clock
    sender: NoticeSender


class Webhooks:
    """The use cases around the documents of notification webhooks."""

    def __init__(self, ports: WebhookPorts) -> None:
        self._ports = ports

    async def create(self, actor: Actor, document: Json) -> Json:
        """A new webhook. Invalid when a field is wrong or the name is taken."""
        actor.require("admin")
        return await self.carry_out(actor, await self.plan(actor, document, None, await self.names(actor)))

    async def page(
        self,
        actor: Actor,
        *,
        q: str = "",
        active: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Webhooks by name. `q` is looked for in names."""
        actor.require("viewer")
        wanted = WebhookFilter(q.strip(), active)
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._ports.store.read(webhooks_page, actor.workspace_id, wanted, after_name=after, limit=size + 1)
        documents = await self._documents(actor, rows)
        return cut_page(rows, size, lambda one: one.row.name, lambda one: documents[one.row.id])

    async def show(self, actor: Actor, webhook_id: str) -> Json:
        """The whole document, without secrets; NotFound when the workspace has no such webhook."""
        actor.require("viewer")
        stored = await self.stored(actor, webhook_id)
        return (await self._documents(actor, [stored]))[webhook_id]

    async def change(self, actor: Actor, webhook_id: str, patch: Json) -> Json:
        """Merge a patch (RFC 7396) into the document and check the whole again; Conflict when `revision` in it is not
        the webhook's any more. One that is switched off is told nothing any more, not even what waited for it."""
        actor.require("admin")
        return await self.carry_out(actor, await self._patched(actor, await self.stored(actor, webhook_id), patch))

    async def delete(self, actor: Actor, webhook_id: str, *, note: str = "") -> None:
        """Delete with all secrets. What waits to be sent to it is canceled."""
        actor.require("admin")
        place, now = (actor.workspace_id, webhook_id), self._ports.now()

        def tell(seen: StoredWebhook | None, landed: bool) -> AuditEntry | None:
            if not landed or seen is None:
                return None
            subject, before = Subject(webhook_id, seen.row.name), editable(seen.row)
            return entry_of(actor, "notification_webhook.deleted", subject, now=now, before=before, note=note)

        look = partial(webhook_by_id, workspace_id=place[0], webhook_id=place[1])
        if not await self._ports.store.write(audited_with(look, delete_webhook, tell), *place, now):
            raise _not_found(webhook_id)
        await self._ports.catalog.reload()

    async def test(self, actor: Actor, webhook_id: str, patch: Json = None) -> Json:
        """Send made-up data once, and tell what was sent, answered and found; no delivery is recorded.

        With `patch` as the webhook would be then, which is not saved and needs an admin.
        """
        actor.require("operator" if patch is None else "admin")
        stored = await self.stored(actor, webhook_id)
        if patch is not None:
            return await self._try(actor, await self._patched(actor, stored, patch))
        secrets, trouble = self._drafting({}).open(stored)
        if trouble is not None:
            return _untried(trouble)
        return await self._try_row(actor, Subject(webhook_id, stored.row.name), stored.row, secrets)

    async def test_unsaved(self, actor: Actor, document: Json) -> Json:
        """The same with the webhook that a document would make; nothing is saved."""
        return await self._try(actor, await self.plan(actor, document, None, await self.names(actor)))

    def payload_schema(self, actor: Actor) -> Json:
        """The JSON Schema of what is told, and an example of each kind: what templates are written from."""
        actor.require("viewer")
        now = self._ports.now()
        examples = {"change": mock_payload(now), "recovery": mock_recovery(now), "digest": mock_digest(now)}
        return {"schema": PAYLOAD_SCHEMA, "examples": examples}

    async def preview(
        self, actor: Actor, body_template: str | None, example: str = "change", secrets: Collection[str] = ()
    ) -> Json:
        """`{body, error, payload}`: what a template makes of an example (change, recovery, digest), or of the last
        change of the integration with this id. `secrets` are the names that the template may use."""
        actor.require("viewer")
        store, now = self._ports.store, self._ports.now
        return await preview_template(
            store, now, actor, template=body_template, example=example, secret_names=tuple(secrets)
        )

    async def deliveries(
        self, actor: Actor, webhook_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """What was sent to the webhook, or waits to be, the newest first; `Deliveries.show` tells of the tries."""
        actor.require("viewer")
        size, before = check_limit(limit), read_text_cursor(cursor)
        await self.stored(actor, webhook_id)
        rows = await self._ports.store.read(
            list_notifications, actor.workspace_id, webhook_id, limit=size + 1, before=before
        )
        names = await self._names_of(actor, integrations_told(rows))
        return cut_page(rows, size, lambda row: row.delivery.id, lambda row: notification_line(row, names))

    def templates(self, actor: Actor) -> list[Json]:
        """What webhooks for well-known services begin with."""
        actor.require("viewer")
        return [template_document(one) for one in READY_MADE]

    # --- for the use cases beside this one ---------------------------------------------------------------------------

    async def stored(self, actor: Actor, webhook_id: str) -> StoredWebhook:
        """The webhook as it is stored; NotFound when the workspace has none of this id."""
        found = await self._ports.store.read_at_once(webhook_by_id, actor.workspace_id, webhook_id)
        if found is None:
            raise _not_found(webhook_id)
        return found

    async def all_stored(self, actor: Actor) -> list[StoredWebhook]:
        """All notification webhooks of the workspace by name."""
        return await self._ports.store.read_at_once(workspace_webhooks, actor.workspace_id)

    async def names(self, actor: Actor) -> dict[str, str]:
        """The names of the integrations that filters may name, by id."""
        return await self._ports.store.read(integration_names, actor.workspace_id)

    def kept_keys(self, stored: StoredWebhook) -> frozenset[str]:
        """The places of the secrets that are kept."""
        return frozenset(self._drafting({}).open(stored)[0])

    async def plan(
        self, actor: Actor, document: Json, stored: StoredWebhook | None, integrations: Mapping[str, str]
    ) -> WebhookSave:
        """The save that makes `stored`, or a new webhook, be what a complete document says; nothing is written.

        `integrations` are the names of those that its filters may name, by id.
        """
        actor.require("admin")
        check_size(document, SUBJECT)
        refuse_read_only(document, READ_ONLY, SUBJECT)
        drafting, now = self._drafting(integrations), self._ports.now()
        # in a thread, because a template is tried, which may take a while
        if stored is None:
            return await asyncio.to_thread(drafting.new, actor, document, now)
        return await asyncio.to_thread(drafting.changed, stored, document, now)

    async def carry_out(self, actor: Actor, save: WebhookSave, *, note: str = "") -> Json:
        """Write a save; one that changes nothing is not written. The document as it is now."""
        actor.require("admin")
        if save.read_revision is None or save.differences:
            row, now = save.change.row, self._ports.now()
            made = editable(row) if save.read_revision is None else None
            told = save_entry(
                actor,
                "notification_webhook",
                Subject(row.id, row.name),
                now=now,
                made=made,
                differences=save.differences,
                note=note,
            )
            await self._write(save, told)
        return await self.show(actor, save.change.row.id)

    async def _patched(self, actor: Actor, stored: StoredWebhook, patch: Json) -> WebhookSave:
        check_size(patch, SUBJECT)
        check_revision(patch, stored.row.revision, SUBJECT)
        plain = {key: value for key, value in patch.items() if key not in READ_ONLY}
        document = merge_patch(editable(stored.row), plain, _replaced_whole(stored.row, plain))
        return await self.plan(actor, document, stored, await self.names(actor))

    async def _write(self, save: WebhookSave, told: AuditEntry) -> None:
        row = save.change.row

        def tell(answer: object) -> AuditEntry | None:
            return told if isinstance(answer, WebhookRow) else None

        if save.read_revision is None:
            answer: object = await self._ports.store.write(audited(add_webhook, tell), save.change)
        else:
            answer = await self._ports.store.write(audited(save_webhook, tell), save.change, save.read_revision)
        match answer:
            case NameTaken():
                raise invalid(SUBJECT, (FieldError("name", f"is taken by another notification webhook: {row.name}"),))
            case Overtaken():
                raise Conflict(
                    f"{SUBJECT} {row.id} was changed or deleted in the same moment; read it again and repeat it"
                )
        await self._ports.catalog.reload()

    async def _try(self, actor: Actor, save: WebhookSave) -> Json:
        row = save.change.row
        subject = Subject("" if save.read_revision is None else row.id, row.name)
        return await self._try_row(actor, subject, row, save.secrets)

    async def _try_row(self, actor: Actor, subject: Subject, row: WebhookRow, secrets: Secrets) -> Json:
        # under an id of its own: a try begins without tokens of before, and leaves none to the real one
        identity = WebhookIdentity(new_id("nwh"), row.workspace, row.name, 1, row.active)
        try:
            webhook = await asyncio.to_thread(read_webhook, identity, row.document, secrets)
        except (LookupError, ValueError) as error:
            return _untried(f"the notification webhook can't be used: {error}")
        now = self._ports.now()
        tried = entry_of(actor, "notification_webhook.tested", subject, now=now)
        await self._ports.store.write(record, tried)  # before anything goes out
        sent = await self._ports.sender.send(webhook, mock_payload(now), new_id("dlv"), now)
        return invocation_document(webhook, sent)

    def _drafting(self, integrations: Mapping[str, str]) -> WebhookDrafting:
        return WebhookDrafting(replace(self._ports.rules, integrations=integrations), self._ports.vault)

    async def _documents(self, actor: Actor, rows: Sequence[StoredWebhook]) -> dict[str, Json]:
        """The documents of these webhooks by id."""
        read = self._ports.store.read
        ids = [stored.row.id for stored in rows]
        records, held = await read(read_records, ids), await read(held_notices_of_each, ids, SHOWN_HELD)
        filtered = {one for stored in rows for one in stored.row.document["filters"]["integrations"]}
        names = await self._names_of(actor, filtered | {one.integration_id for found in held.values() for one in found})
        documents: dict[str, Json] = {}
        for stored in rows:
            own = stored.row.id
            document = self._document(stored, names)
            document["warnings"] += failing_warnings(records.get(own))
            documents[own] = {**document, **standing_document(records.get(own), held[own], names)}
        return documents

    async def _names_of(self, actor: Actor, ids: Collection[str]) -> dict[str, str]:
        wanted = {one for one in ids if one}
        return await self._ports.store.read(integration_names, actor.workspace_id, wanted) if wanted else {}

    def _document(self, stored: StoredWebhook, names: Mapping[str, str]) -> Json:
        row = stored.row
        wanted = row.document["filters"]["integrations"]
        return {
            "id": row.id,
            **editable(row),
            "filtered_integrations": [{"id": one, "name": names.get(one)} for one in wanted],
            "warnings": [*self._troubles(stored), *warnings(row, names)],
            "revision": row.revision,
            "created_at": format_instant(row.created_at),
            "updated_at": format_instant(row.updated_at),
        }

    def _troubles(self, stored: StoredWebhook) -> list[str]:
        trouble = self._drafting({}).open(stored)[1]
        return [] if trouble is None else [f"The notification webhook can't be used: {trouble}"]


def warnings(row: WebhookRow, names: Mapping[str, str]) -> list[str]:
    """What is allowed but probably not meant. `names` are those of its integrations that are there, by id."""
    document = row.document
    gone = [one for one in document["filters"]["integrations"] if one not in names]
    found = []
    if document["url"].lower().startswith("http:"):
        found.append("Notifications go over plain HTTP, readable to whoever is on the way.")
    if gone:
        found.append(f"Its filters name integrations that are gone: {', '.join(gone)}. Take them out.")
    if gone and len(gone) == len(document["filters"]["integrations"]):
        found.append("It is told nothing: no integration of its filters is there any more.")
    return found


def failing_warnings(record: WebhookRecord | None) -> list[str]:
    """That nobody hears of it: what a webhook can't tell about itself."""
    if record is None or record.failing_since is None:
        return []
    tries = "try" if record.failures == 1 else f"{record.failures} tries"
    since, error = format_instant(record.failing_since), record.last_error or "no reason was given"
    return [f"It has not been told anything since {since} ({tries}): {error}. Test it and correct what is wrong."]


def _replaced_whole(row: WebhookRow, patch: Json) -> tuple[str, ...]:
    """An authentication of another type has nothing in common with the one before."""
    given: Any = patch.get("authentication")
    before = row.document["authentication"]["type"]
    return ("authentication",) if isinstance(given, dict) and given.get("type", before) != before else ()


def _untried(error: str) -> Json:
    """Of a test that could not even begin."""
    return {"outcome": "failed", "error": error, "invocation": None}


def _not_found(webhook_id: str) -> NotFound:
    return NotFound(f"there is no notification webhook {webhook_id[:64]} here")
