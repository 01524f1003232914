"""Workflows of an integration: versions are written once; one of them, or none, is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crossdock.manage.actor import Actor
from crossdock.manage.documents import check_size
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.paging import Page, check_limit, cut_page, read_number_cursor
from crossdock.model.errors import NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.model.workflow import connections_named
from crossdock.store.integrations import StoredIntegration
from crossdock.store.versions import VersionRow, version, versions_page


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
            return {"number": 0, "published": True, "created_at": None, "created_by": None, "document": {"steps": []}}
        return _document(await self._row(integration_id, stored.row.workflow_number), stored)

    async def put(self, actor: Actor, integration_id: str, document: Json) -> Json:
        """Write the document as the next version and publish it. The published one again changes nothing.

        Invalid names the fields, such as `workflow.steps[1].transform.total`.
        """
        actor.require("admin")
        check_size(document)
        await self._integrations.change(actor, integration_id, {"workflow": document})
        return await self.current(actor, integration_id)

    async def versions(
        self, actor: Actor, integration_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """All versions, newest first."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        size, below = check_limit(limit), read_number_cursor(cursor)
        rows = await self._ports.store.read(versions_page, integration_id, below=below, limit=size + 1)
        document: Callable[[VersionRow], Json] = lambda row: _document(row, stored)  # noqa: E731
        return cut_page(rows, size, lambda row: row.number, document)

    async def version(self, actor: Actor, integration_id: str, number: int) -> Json:
        """One version; NotFound when there is none of this number."""
        actor.require("viewer")
        stored = await self._integrations.stored(actor, integration_id)
        return _document(await self._row(integration_id, number), stored)

    async def publish(self, actor: Actor, integration_id: str, number: int) -> Json:
        """Let new events run through this version, older or newer. Invalid when it does not compile any more."""
        actor.require("admin")
        stored = await self._integrations.stored(actor, integration_id)
        row = await self._row(integration_id, number)
        (await self._integrations.rules(actor)).check_workflow(row.document, number)
        if stored.row.workflow_number != number:
            await self._integrations.publish(stored, number, connections_named(row.document))
        return _document(row, replace(stored, row=replace(stored.row, workflow_number=number)))

    async def _row(self, integration_id: str, number: int) -> VersionRow:
        # numbers that no database integer holds are as unknown as any other
        row = await self._ports.store.read(version, integration_id, number) if 0 < number < 2**31 else None
        if row is None:
            raise NotFound(f"the integration has no workflow version {number}")
        return row


def _document(row: VersionRow, stored: StoredIntegration) -> Json:
    return {
        "number": row.number,
        "published": row.number == stored.row.workflow_number,
        "created_at": format_instant(row.created_at),
        "created_by": row.created_by,
        "document": row.document,
    }
