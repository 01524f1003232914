"""Drafts of workflows: what people work on before it counts. At most one for each integration."""

from __future__ import annotations

from dataclasses import replace

from crossdock.manage.actor import Actor
from crossdock.manage.documents import check_size
from crossdock.manage.integration_entries import draft_discarded_entry, draft_saved_entry, published_entry
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.refusals import invalid
from crossdock.manage.workflows import Workflows
from crossdock.model.errors import Conflict, FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.model.workflow import connections_named
from crossdock.store.audit import AuditEntry, audited
from crossdock.store.drafts import NO_DRAFT, DraftRow, draft_of, drop_draft, publish_draft, save_draft
from crossdock.store.integrations import IntegrationChange, IntegrationRow, StoredIntegration
from crossdock.store.versions import version


class Drafts:
    """The use cases around drafts. A draft may be saved while it does not compile; it is not published so."""

    def __init__(self, ports: IntegrationPorts, integrations: Integrations, workflows: Workflows) -> None:
        self._ports = ports
        self._integrations = integrations
        self._workflows = workflows

    async def show(self, actor: Actor, integration_id: str) -> Json:
        """The draft with what keeps it from being published; NotFound when there is none."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        return await self._document(actor, stored, await self._row(integration_id))

    async def save(
        self,
        actor: Actor,
        integration_id: str,
        document: Json,
        *,
        based_on: int | None = None,
        revision: int | None = None,
    ) -> Json:
        """Keep the document as the draft, whether it compiles or not.

        `based_on` is the version that it was made from: as it was, or the published one for a new draft. Conflict when
        the draft is not at `revision` any more; 0 stands for no draft.
        """
        actor.require("admin")
        check_size(document, "the workflow")
        stored = await self._integrations.stored(actor, integration_id)
        known = await self._ports.store.read(draft_of, integration_id)
        _check_revision(known, revision)
        if based_on is None:
            based_on = stored.row.workflow_number if known is None else known.based_on
        await self._check_version(integration_id, based_on)
        now, read_revision = self._ports.now(), NO_DRAFT if known is None else known.revision
        row = DraftRow(integration_id, document, based_on, max(now // 1_000, read_revision + 1), now, actor.name)
        told = draft_saved_entry(actor, stored, known, row, now)
        save = audited(save_draft, lambda landed: told if landed else None)
        if not await self._ports.store.write(save, row, read_revision):
            raise _changed_meanwhile()
        return await self._document(actor, stored, row)

    async def discard(self, actor: Actor, integration_id: str, *, revision: int | None = None) -> None:
        """Forget the draft; NotFound when there is none, Conflict when it is not at `revision` any more."""
        actor.require("admin")
        stored = await self._integrations.stored(actor, integration_id)
        row = await self._row(integration_id)
        _check_revision(row, revision)
        await self._drop(actor, stored, row)

    async def publish(
        self, actor: Actor, integration_id: str, *, force: bool = False, revision: int | None = None
    ) -> Json:
        """Make the draft the next version and publish it; the draft is gone then.

        Invalid with the problems when it does not compile. Conflict when another version was published since the one
        that it is based on, unless with `force`; and when it is not at `revision` any more.
        """
        actor.require("admin")
        stored = await self._integrations.stored(actor, integration_id)
        row = await self._row(integration_id)
        _check_revision(row, revision)
        (await self._integrations.rules(actor)).check_workflow(row.document)
        published = stored.row.workflow_number
        if row.based_on != published and not force:
            raise Conflict(
                f"{_named(published)} is published by now, and the draft was made from {_named(row.based_on)}: look at"
                " the differences, then publish with force, or save the draft anew with based_on"
            )
        if row.document != stored.workflow:
            await self._publish(actor, stored, row)
        else:
            await self._drop(actor, stored, row)
        return await self._workflows.current(actor, integration_id)

    async def _drop(self, actor: Actor, stored: StoredIntegration, row: DraftRow) -> None:
        told = draft_discarded_entry(actor, stored, row, self._ports.now())
        drop = audited(drop_draft, lambda landed: told if landed else None)
        if not await self._ports.store.write(drop, stored.row.id, row.revision):
            raise _changed_meanwhile()

    async def _publish(self, actor: Actor, stored: StoredIntegration, draft: DraftRow) -> None:
        now = self._ports.now()
        row = replace(stored.row, revision=stored.row.revision + 1, updated_at=now)
        change = IntegrationChange(
            row, workflow=draft.document, author=actor.name, connections=connections_named(draft.document)
        )

        def tell(saved: object) -> AuditEntry | None:
            if not isinstance(saved, IntegrationRow):
                return None
            return published_entry(actor, stored, saved.workflow_number, draft.document, now)

        publish = audited(publish_draft, tell)
        saved = await self._ports.store.write(publish, change, stored.row.revision, draft.revision)
        if not isinstance(saved, IntegrationRow):
            raise _changed_meanwhile()
        await self._ports.catalog.reload()

    async def _row(self, integration_id: str) -> DraftRow:
        row = await self._ports.store.read(draft_of, integration_id)
        if row is None:
            raise NotFound("the integration has no draft of its workflow; save one first")
        return row

    async def _check_version(self, integration_id: str, number: int) -> None:
        if number == 0:
            return
        row = await self._ports.store.read(version, integration_id, number) if 0 < number < 2**31 else None
        if row is None:
            raise invalid("the draft", (FieldError("based_on", f"there is no version {number} of this workflow"),))

    async def _document(self, actor: Actor, stored: StoredIntegration, row: DraftRow) -> Json:
        problems: tuple[FieldError, ...] = ()
        try:
            (await self._integrations.rules(actor)).check_workflow(row.document)
        except Invalid as error:
            problems = error.errors or (FieldError("workflow", str(error)),)
        return {
            "document": row.document,
            "based_on": row.based_on,
            "published_version": stored.row.workflow_number,
            "revision": row.revision,
            "updated_at": format_instant(row.updated_at),
            "updated_by": row.updated_by,
            "problems": [{"field": one.field, "message": one.message} for one in problems],
        }


def _check_revision(row: DraftRow | None, expected: int | None) -> None:
    now = NO_DRAFT if row is None else row.revision
    if expected is None or expected == now:
        return
    if row is None:
        raise Conflict(f"the draft at revision {expected} was published or discarded meanwhile; begin a new one")
    if expected == NO_DRAFT:
        raise Conflict(f"{row.updated_by} has begun a draft meanwhile (revision {now}); read it and work on that one")
    raise Conflict(
        f"{row.updated_by} has saved the draft since revision {expected} (it is at {now}); read it again and repeat"
        " the change"
    )


def _changed_meanwhile() -> Conflict:
    return Conflict("the draft or the integration was changed in the same moment; read both again and repeat this")


def _named(number: int) -> str:
    return f"version {number}" if number else "no workflow"
