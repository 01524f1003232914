"""Integrations: made, listed, shown, changed, deleted. A change is live in this process when its answer is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from crossdock.catalog import Catalog
from crossdock.clock import Clock
from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.manage.actor import Actor
from crossdock.manage.documents import OWN_TREES, Rules, check_size
from crossdock.manage.health_documents import line_document
from crossdock.manage.integration_entries import (
    deleted_entry,
    published_entry,
    saved_entry,
    secret_rotated_entry,
    secret_shown_entry,
)
from crossdock.manage.merge import merge_patch
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import invalid, refuse_read_only
from crossdock.manage.revisions import check_expected, written_revision
from crossdock.manage.saving import Drafting, Save
from crossdock.manage.secrets import (
    BASIC_PASSWORD,
    PLATFORM_TOKEN,
    SIGNING_SECRET,
    seal,
    unseal,
    write_signing_secret,
)
from crossdock.manage.written import READ_ONLY, editable_document, public_document, short_document
from crossdock.model.errors import Conflict, FieldError, Invalid, NotFound
from crossdock.model.health import HealthStatus
from crossdock.model.outcome import Json
from crossdock.model.workflow import connections_named
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited, audited_with, record
from crossdock.store.connections import connection_kinds
from crossdock.store.health import StatusSince, health_of_many
from crossdock.store.integrations import (
    IntegrationChange,
    IntegrationFilter,
    IntegrationRow,
    Stale,
    StoredIntegration,
    Taken,
    add_integration,
    delete_integration,
    integration_by_id,
    integration_by_name,
    integrations_by_ids,
    integrations_page,
    save_integration,
    workspace_integrations,
)
from crossdock.store.versions import VersionRow
from crossdock.vault import Vault, VaultError, new_signing_secret

Status: TypeAlias = Literal["enabled", "disabled"]


@dataclass(frozen=True, slots=True)
class IntegrationPorts:
    """What managing integrations works with. `public_url` stands before the paths of hooks, without a final slash."""

    store: Store
    vault: Vault
    catalog: Catalog
    rules: Rules
    now: Clock
    public_url: str = ""


class Integrations:
    """The use cases around integration documents."""

    def __init__(self, ports: IntegrationPorts) -> None:
        self._ports = ports

    async def create(self, actor: Actor, document: Json) -> Json:
        """A new integration, with a signing secret of its own. Invalid when a field is wrong or a name is taken."""
        actor.require("admin")
        return await self.carry_out(actor, self.plan(actor, document, None, await self.rules(actor)))

    async def page(
        self,
        actor: Actor,
        *,
        q: str = "",
        type: str | None = None,  # noqa: A002 - the filter's name in the list
        status: Status | None = None,
        health: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Integrations by name. `q` is looked for in names and paths, `health` are states divided by commas.

        The documents come without their workflows.
        """
        actor.require("viewer")
        wanted = integration_filter(q=q, type=type, status=status, health=health)
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._ports.store.read(
            integrations_page, actor.workspace_id, wanted, self._ports.now(), after_name=after, limit=size + 1
        )
        documents = await self._listed(rows)
        return cut_page(rows, size, lambda stored: stored.row.name, lambda stored: documents[stored.row.id])

    async def show(self, actor: Actor, integration_id: str) -> Json:
        """The whole document; NotFound when the workspace has no such integration."""
        actor.require("viewer")
        return await self._document(await self.stored(actor, integration_id))

    def address(self, actor: Actor, path: str) -> str:
        """Where callers reach an integration of the actor's workspace that has this path."""
        return f"{self._ports.public_url}/hooks/{actor.workspace}/{path}"

    async def by_name(self, actor: Actor, name: str) -> Json | None:
        """The whole document of the integration with this name."""
        actor.require("viewer")
        stored = await self.stored_by_name(actor, name)
        return None if stored is None else await self._document(stored)

    async def change(self, actor: Actor, integration_id: str, patch: Json, revision: int | None = None) -> Json:
        """Merge a patch (RFC 7396) into the document and check the whole again.

        Conflict when the integration is not at `revision` any more. The revision may also stand in the patch.
        """
        actor.require("admin")
        check_size(patch)
        stored = await self.stored(actor, integration_id)
        written = written_revision(patch)
        check_expected(written if revision is None else revision, stored.row.revision, "the integration")
        plain, dropped = _take_out(patch)
        document = merge_patch(editable_document(stored.row, stored.workflow), plain, OWN_TREES)
        drafting = Drafting(await self.rules(actor), self._ports.vault)
        return await self.carry_out(actor, drafting.changed(actor, stored, document, self._ports.now(), dropped))

    async def delete(self, actor: Actor, integration_id: str, *, note: str = "") -> None:
        """Delete at once, with keys, secrets and workflows. Its unfinished runs are canceled; its events stay until
        their retention is over."""
        actor.require("admin")
        place, now = (actor.workspace_id, integration_id), self._ports.now()

        def tell(seen: StoredIntegration | None, landed: bool) -> AuditEntry | None:
            return deleted_entry(actor, seen, now, note) if landed and seen is not None else None

        look = partial(integration_by_id, workspace_id=place[0], integration_id=place[1], now=now)
        if not await self._ports.store.write(audited_with(look, delete_integration, tell), *place):
            raise _not_found(integration_id)
        await self._ports.catalog.reload()

    async def signing_secret(self, actor: Actor, integration_id: str) -> str:
        """The secret that replies are signed with, as receivers need it (`whsec_...`). Who was shown it is kept."""
        actor.require("admin")
        stored = await self.stored(actor, integration_id)
        if SIGNING_SECRET not in stored.secrets:
            raise NotFound(f"integration {integration_id} has no signing secret; rotate it to get one")
        try:
            text = write_signing_secret(unseal(self._ports.vault, stored.secrets[SIGNING_SECRET]))
        except VaultError as error:
            raise Conflict(f"{error}, or rotate it to get a new one") from None
        await self._ports.store.write(record, secret_shown_entry(actor, stored.row, self._ports.now()))
        return text

    async def rotate_signing_secret(self, actor: Actor, integration_id: str) -> str:
        """A new signing secret, used from now on; the old one is forgotten."""
        actor.require("admin")
        stored = await self.stored(actor, integration_id)
        secret = new_signing_secret()
        row = replace(stored.row, revision=stored.row.revision + 1, updated_at=self._ports.now())
        sealed = seal(self._ports.vault, row.id, SIGNING_SECRET, secret)
        change = IntegrationChange(row, (sealed,), author=actor.name)
        told = secret_rotated_entry(actor, stored, self._ports.now())
        await self._write(change, stored.row.revision, lambda _: told)
        return write_signing_secret(secret)

    # --- for the use cases beside this one ---------------------------------------------------------------------------

    async def stored(self, actor: Actor, integration_id: str) -> StoredIntegration:
        """The integration as it is stored; NotFound when the workspace has none of this id."""
        found = await self._ports.store.read_at_once(
            integration_by_id, actor.workspace_id, integration_id, self._ports.now()
        )
        if found is None:
            raise _not_found(integration_id)
        return found

    async def stored_by_name(self, actor: Actor, name: str) -> StoredIntegration | None:
        return await self._ports.store.read(integration_by_name, actor.workspace_id, name, self._ports.now())

    async def all_stored(self, actor: Actor) -> list[StoredIntegration]:
        """All integrations of the workspace by name, with their workflows."""
        return await self._ports.store.read_at_once(workspace_integrations, actor.workspace_id, self._ports.now())

    async def rules(self, actor: Actor) -> Rules:
        """What documents of the actor's workspace have to keep to, by the connections that it has now."""
        return replace(
            self._ports.rules, connections=await self._ports.store.read(connection_kinds, actor.workspace_id)
        )

    def plan(self, actor: Actor, document: Json, stored: StoredIntegration | None, rules: Rules) -> Save:
        """The save that makes `stored`, or a new integration, be what a complete document says; nothing is written."""
        actor.require("admin")
        check_size(document)
        refuse_read_only(document, READ_ONLY, "the integration")
        drafting = Drafting(rules, self._ports.vault)
        if stored is None:
            return drafting.new(actor, document, self._ports.now())
        return drafting.changed(actor, stored, document, self._ports.now())

    async def carry_out(self, actor: Actor, save: Save, *, note: str = "") -> Json:
        """Write a save; one that changes nothing is not written. The document as it is now."""
        actor.require("admin")
        if save.read_revision is None or save.differences:
            now = self._ports.now()
            await self._write(save.change, save.read_revision, lambda row: saved_entry(actor, save, row, now, note))
        return await self._document(await self.stored(actor, save.change.row.id))

    async def publish(
        self, actor: Actor, stored: StoredIntegration, version: VersionRow, *, returns_to: int | None = None
    ) -> None:
        """Let new events run through this version of the workflow.

        `returns_to` is the position of the publication that a rollback goes back to.
        """
        number, workflow, now = version.number, version.document, self._ports.now()
        row = replace(stored.row, workflow_number=number, revision=stored.row.revision + 1, updated_at=now)
        connections = connections_named(workflow)
        change = IntegrationChange(row, author=actor.name, connections=connections, returns_to=returns_to)
        told = published_entry(actor, stored, number, workflow, now, rolls_back=returns_to is not None)
        await self._write(change, stored.row.revision, lambda _: told)

    async def _write(
        self, change: IntegrationChange, read_revision: int | None, entry_for: Callable[[IntegrationRow], AuditEntry]
    ) -> None:
        def tell(answer: object) -> AuditEntry | None:
            return entry_for(answer) if isinstance(answer, IntegrationRow) else None

        if read_revision is None:
            answer: object = await self._ports.store.write(audited(add_integration, tell), change)
        else:
            answer = await self._ports.store.write(audited(save_integration, tell), change, read_revision)
        if isinstance(answer, Taken):
            raise _taken(change, answer)
        if isinstance(answer, Stale):
            raise _stale(change.row.id)
        await self._ports.catalog.reload()

    async def _document(self, stored: StoredIntegration) -> Json:
        known = await self._ports.store.read(health_of_many, [stored.row.id])
        return self._with_health(stored, known)

    async def documents(self, actor: Actor, integration_ids: Sequence[str]) -> dict[str, Json]:
        """What tells most of these integrations, by id, no secret opened; those that are gone are left out."""
        actor.require("viewer")
        read = self._ports.store.read
        rows = await read(integrations_by_ids, actor.workspace_id, integration_ids, self._ports.now())
        known = await read(health_of_many, integration_ids)
        return {
            own: {
                **short_document(stored, self._ports.public_url),
                "current_health": line_document(stored.row, known.get(own)),
            }
            for own, stored in rows.items()
        }

    async def _listed(self, rows: Sequence[StoredIntegration]) -> dict[str, Json]:
        """The documents of these integrations by id, without workflows."""
        known = await self._ports.store.read(health_of_many, [stored.row.id for stored in rows])
        documents = {stored.row.id: self._with_health(stored, known) for stored in rows}
        for document in documents.values():
            del document["workflow"]
        return documents

    def _with_health(self, stored: StoredIntegration, known: Mapping[str, StatusSince]) -> Json:
        document = public_document(stored, self._ports.vault, self._ports.public_url)
        return {**document, "current_health": line_document(stored.row, known.get(stored.row.id))}


def external_systems() -> list[Json]:
    """The catalog of external system types, with fields, defaults, help and samples."""
    return [system.document() for system in EXTERNAL_SYSTEMS.values()]


def integration_filter(
    *,
    q: str = "",
    type: str | None = None,  # noqa: A002 - the filter's name in the list
    status: Status | None = None,
    health: str | None = None,
) -> IntegrationFilter:
    """What a list is asked for, as people write it; Invalid for states that there are not."""
    is_enabled = None if status is None else status == "enabled"
    return IntegrationFilter(q.strip(), type, is_enabled, _health_states(health))


def _health_states(text: str | None) -> frozenset[HealthStatus]:
    if text is None:
        return frozenset()
    words = [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word not in frozenset(HealthStatus)]
    if unknown:
        known = ", ".join(HealthStatus)
        raise invalid("the filter", (FieldError("health", f"{unknown[0][:64]!r} is none of {known}"),))
    return frozenset(map(HealthStatus, words))


def _take_out(patch: Json) -> tuple[Json, list[str]]:
    """The patch without read-only fields, and the secrets that it drops by setting them to null."""
    plain = {key: value for key, value in patch.items() if key not in READ_ONLY}
    dropped = []
    if PLATFORM_TOKEN in plain and plain[PLATFORM_TOKEN] is None:
        dropped.append(PLATFORM_TOKEN)
    trigger = plain.get("trigger")
    authentication = trigger.get("authentication") if isinstance(trigger, dict) else None
    if isinstance(trigger, dict) and isinstance(authentication, dict):
        if "password" in authentication and authentication["password"] is None:
            dropped.append(BASIC_PASSWORD)
        shown = {key: value for key, value in authentication.items() if key != "password_set"}
        plain["trigger"] = {**trigger, "authentication": shown}
    return plain, dropped


def _taken(change: IntegrationChange, taken: Taken) -> Invalid:
    errors = []
    if taken.name_by is not None:
        errors.append(FieldError("name", f"is taken by another integration: {taken.name_by}"))
    if taken.path_by is not None:
        errors.append(FieldError("path", f"{change.row.path} is taken by the integration {taken.path_by}"))
    return invalid("the integration", errors)


def _stale(integration_id: str) -> Conflict:
    return Conflict(
        f"integration {integration_id} was changed or deleted in the same moment; read it again and repeat the change"
    )


def _not_found(integration_id: str) -> NotFound:
    return NotFound(f"there is no integration {integration_id}")
