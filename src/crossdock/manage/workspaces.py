"""Workspaces: listed, made, renamed, deleted while they are empty. What is made here works at once, on every node."""

from __future__ import annotations

from dataclasses import dataclass

from crossdock.catalog import Catalog
from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.administration import is_administrator, require_administrator
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import invalid
from crossdock.manage.tokens import Tokens
from crossdock.manage.user_documents import (
    WORKSPACE_READ_ONLY,
    NewWorkspace,
    WorkspacePart,
    parsed,
    workspace_document,
)
from crossdock.model.errors import Conflict, FieldError, NotFound
from crossdock.model.outcome import Json
from crossdock.store import Store
from crossdock.store.people import ADMINISTRATION
from crossdock.store.workspaces import (
    Filled,
    WorkspaceRow,
    add_workspace,
    delete_workspace,
    rename_workspace,
    workspace_by_slug,
    workspaces_page,
)

SUBJECT = "the workspace"


@dataclass(frozen=True, slots=True)
class WorkspacePorts:
    """What managing workspaces works with."""

    store: Store
    catalog: Catalog
    tokens: Tokens
    now: Clock


class Workspaces:
    """The use cases around workspaces."""

    def __init__(self, ports: WorkspacePorts) -> None:
        self._ports = ports

    async def page(self, actor: Actor, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """Workspaces by slug: administrators see all of them, everybody else the one that they act in."""
        only = None if is_administrator(actor) else actor.workspace_id
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._ports.store.read(workspaces_page, only=only, after_slug=after, limit=size + 1)
        return cut_page(rows, size, lambda row: row.slug, workspace_document)

    async def show(self, actor: Actor, slug: str) -> Json:
        """One workspace; NotFound for those that the actor can't see, too."""
        return workspace_document(await self._visible(actor, slug))

    async def create(self, actor: Actor, document: Json) -> Json:
        """A new workspace; a user who makes one is its first admin."""
        require_administrator(actor)
        wanted = parsed(NewWorkspace, document, SUBJECT)
        now = self._ports.now()
        row = WorkspaceRow(new_id("wsp"), wanted.slug, wanted.name or wanted.slug, now)
        admin_id = actor.id if actor.id.startswith("usr_") else None
        after = {"slug": row.slug, "name": row.name}
        entry = entry_of(actor, "workspace.created", Subject(row.id, row.slug), now=now, after=after)
        if not await self._ports.store.write(add_workspace, row, admin_id, (entry,)):
            raise invalid(SUBJECT, (FieldError("slug", f"is taken by another workspace: {row.slug}"),))
        await self._ports.catalog.reload()
        return await self.show(actor, row.slug)

    async def change(self, actor: Actor, slug: str, patch: Json) -> Json:
        """Give another name; an admin of the workspace may do so, too. The slug never changes."""
        row = await self._visible(actor, slug)
        actor.require("admin")
        given = patch.get("slug", slug)
        if given != slug:
            raise invalid(SUBJECT, (FieldError("slug", f"can't be changed; it is {slug}"),))
        wanted = parsed(WorkspacePart, patch, SUBJECT, WORKSPACE_READ_ONLY)
        if wanted.name is not None and wanted.name != row.name:
            before, after = {"name": row.name}, {"name": wanted.name}
            entry = entry_of(
                actor,
                "workspace.changed",
                Subject(row.id, slug),
                now=self._ports.now(),
                before=before,
                after=after,
                workspace_id=row.id,
            )
            if not await self._ports.store.write(rename_workspace, row.id, wanted.name, (entry,)):
                raise _not_found(slug)
            await self._ports.catalog.reload()
        return await self.show(actor, slug)

    async def delete(self, actor: Actor, slug: str) -> None:
        """Delete an empty workspace with its memberships and API tokens; Conflict says what is in it."""
        require_administrator(actor)
        row = await self._visible(actor, slug)
        if slug == ADMINISTRATION:
            raise Conflict(f"the workspace {ADMINISTRATION} stays: its admins administer the installation")
        before = {"slug": row.slug, "name": row.name}
        entry = entry_of(actor, "workspace.deleted", Subject(row.id, slug), now=self._ports.now(), before=before)
        answer = await self._ports.store.write(delete_workspace, row.id, (entry,))
        if isinstance(answer, Filled):
            raise Conflict(f"the workspace {slug} is not empty: {_listed(answer)}; delete or move them first")
        if not answer:
            raise _not_found(slug)
        await self._ports.catalog.reload()
        await self._ports.tokens.reload()

    async def create_token(self, actor: Actor, slug: str, name: str, role: str, expires_at: str | None = None) -> Json:
        """An API token of a workspace that nobody may be a member of yet; told this once."""
        require_administrator(actor)
        row = await self._visible(actor, slug)
        inside = Actor(actor.name, row.id, row.slug, "admin", actor.id)
        return await self._ports.tokens.create(inside, name, role, expires_at)

    async def _visible(self, actor: Actor, slug: str) -> WorkspaceRow:
        row = await self._ports.store.read(workspace_by_slug, slug)
        if row is None or not (is_administrator(actor) or row.id == actor.workspace_id):
            raise _not_found(slug)
        return row


def _listed(filled: Filled) -> str:
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in filled.contents)


def _not_found(slug: str) -> NotFound:
    return NotFound(f"there is no workspace {slug[:100]} here")
