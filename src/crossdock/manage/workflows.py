"""Workflows of an integration: versions are written once; one of them, or none, is published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from crossdock.manage.actor import Actor
from crossdock.manage.documents import check_size
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.paging import Page, check_limit, cut_page, read_number_cursor
from crossdock.manage.version_differences import version_differences
from crossdock.model.errors import Conflict, FieldError, Invalid, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.store.drafts import draft_of
from crossdock.store.integrations import StoredIntegration
from crossdock.store.publications import PublicationRow, publications_page, published_before
from crossdock.store.versions import VersionRow, version, versions_page

NO_WORKFLOW: Json = {"steps": []}


class Workflows:
    """The use cases around workflow versions. What is published counts for events that come afterwards."""

    def __init__(self, ports: IntegrationPorts, integrations: Integrations) -> None:
        self._ports = ports
        self._integrations = integrations

    async def current(self, actor: Actor, integration_id: str) -> Json:
        """The published version; number 0 with no steps when there is none."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        if stored.row.workflow_number == 0:
            return {"number": 0, "published": True, "created_at": None, "created_by": None, "document": NO_WORKFLOW}
        return version_document(await self._row(integration_id, stored.row.workflow_number), stored)

    async def put(self, actor: Actor, integration_id: str, document: Json) -> Json:
        """Write the document as the next version and publish it. The published one again changes nothing.

        Invalid names the fields, such as `workflow.steps[1].transform.total`.
        """
        actor.require("admin")
        check_size(document, "the workflow")
        await self._integrations.change(actor, integration_id, {"workflow": document})
        return await self.current(actor, integration_id)

    # --- versions ----------------------------------------------------------------------------------------------------

    async def versions(
        self, actor: Actor, integration_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """All versions, newest first."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        size, below = check_limit(limit), read_number_cursor(cursor)
        rows = await self._ports.store.read(versions_page, integration_id, below=below, limit=size + 1)
        document: Callable[[VersionRow], Json] = lambda row: version_document(row, stored)  # noqa: E731
        return cut_page(rows, size, lambda row: row.number, document)

    async def version(self, actor: Actor, integration_id: str, number: int) -> Json:
        """One version; NotFound when there is none of this number."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        return version_document(await self._row(integration_id, number), stored)

    async def differences(self, actor: Actor, integration_id: str, before: str, after: str) -> Json:
        """What differs between two versions, each told by its number, `published` or `draft`."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        old, old_name = await self._document_of(stored, "from", before)
        new, new_name = await self._document_of(stored, "to", after)
        found = await asyncio.to_thread(version_differences, old, new, (old_name, new_name))
        return {"from": old_name, "to": new_name, **found}

    async def document_of(self, actor: Actor, integration_id: str, which: str) -> Json:
        """The workflow document of a version, told by its number, `published` or `draft`."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        return (await self._document_of(stored, "version", which))[0]

    async def _document_of(self, stored: StoredIntegration, field: str, which: str) -> tuple[Json, str]:
        """The document, and what it is called: `version 3`, `draft`."""
        integration_id = stored.row.id
        if which == "draft":
            draft = await self._ports.store.read(draft_of, integration_id)
            if draft is None:
                raise NotFound("the integration has no draft of its workflow; save one, or name a version")
            return draft.document, "draft"
        if which == "published":
            number = stored.row.workflow_number
        elif which.isascii() and which.isdigit() and len(which) <= 10:
            number = int(which)
        else:
            raise Invalid(
                f"{field} is not a version of a workflow",
                (FieldError(field, "must be a version's number, published or draft"),),
            )
        if number == 0:
            return NO_WORKFLOW, "no workflow"
        return (await self._row(integration_id, number)).document, f"version {number}"

    # --- publishing --------------------------------------------------------------------------------------------------

    async def publish(self, actor: Actor, integration_id: str, number: int) -> Json:
        """Let new events run through this version, older or newer. Invalid when it does not compile any more."""
        actor.require("admin")
        stored = await self._integrations.stored(actor, integration_id)
        row = await self._row(integration_id, number)
        return await self._publish(actor, stored, row)

    async def roll_back(self, actor: Actor, integration_id: str) -> Json:
        """Publish the version that was published before this one; once more, the one before that.

        Conflict when there was none before; Invalid when it does not compile any more.
        """
        actor.require("admin")
        stored = await self._integrations.stored(actor, integration_id)
        earlier = await self._ports.store.read(published_before, integration_id, stored.row.workflow_number)
        if earlier is None:
            raise Conflict("no other version was published before this one; publish a version by its number instead")
        row = await self._row(integration_id, earlier.number)
        return await self._publish(actor, stored, row, returns_to=earlier.stands_at)

    async def publications(
        self, actor: Actor, integration_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """Which version was published when, and by whom; newest first."""
        actor.require("viewer")
        await self._integrations.stored(actor, integration_id)
        size, below = check_limit(limit), read_number_cursor(cursor)
        rows = await self._ports.store.read(publications_page, integration_id, below=below, limit=size + 1)
        return cut_page(rows, size, lambda row: row.position, publication_document)

    async def _publish(
        self, actor: Actor, stored: StoredIntegration, row: VersionRow, *, returns_to: int | None = None
    ) -> Json:
        (await self._integrations.rules(actor)).check_workflow(row.document, row.number)
        if stored.row.workflow_number != row.number:
            await self._integrations.publish(actor, stored, row, returns_to=returns_to)
        return version_document(row, replace(stored, row=replace(stored.row, workflow_number=row.number)))

    async def _row(self, integration_id: str, number: int) -> VersionRow:
        # numbers that no database integer holds are as unknown as any other
        row = await self._ports.store.read(version, integration_id, number) if 0 < number < 2**31 else None
        if row is None:
            raise NotFound(f"the integration has no workflow version {number}")
        return row


def version_document(row: VersionRow, stored: StoredIntegration) -> Json:
    return {
        "number": row.number,
        "published": row.number == stored.row.workflow_number,
        "created_at": format_instant(row.created_at),
        "created_by": row.created_by,
        "document": row.document,
    }


def publication_document(row: PublicationRow) -> Json:
    return {
        "number": row.number,
        "published_at": format_instant(row.published_at),
        "published_by": row.published_by,
        "rolled_back": row.returns_to is not None,
    }
