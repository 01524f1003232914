"""Connections: made, listed, shown, changed, tried, deleted. A change is live here when its answer is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from crossdock.catalog import Catalog
from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of, save_entry
from crossdock.manage.certificates import expires_at, expiry_warning
from crossdock.manage.connection_documents import SUBJECT, ConnectionRules
from crossdock.manage.connection_saving import ConnectionDrafting, ConnectionSave
from crossdock.manage.credentials import Secrets, hide_secrets
from crossdock.manage.documents import check_size
from crossdock.manage.merge import merge_patch
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import invalid, refuse_read_only
from crossdock.manage.revisions import check_revision
from crossdock.model.errors import Conflict, FieldError, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant
from crossdock.outbound.connection import Connection
from crossdock.outbound.connection_document import read_connection
from crossdock.outbound.trying import ConnectionTest
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited, record
from crossdock.store.connections import (
    ConnectionFilter,
    ConnectionRow,
    StoredConnection,
    Use,
    Used,
    add_connection,
    connection_by_id,
    connection_uses,
    connections_page,
    delete_connection,
    save_connection,
    workspace_connections,
)
from crossdock.store.named import NameTaken, Overtaken
from crossdock.vault import Vault

Kind: TypeAlias = Literal["http", "sql"]

READ_ONLY = frozenset({"id", "revision", "created_at", "updated_at", "used_by", "warnings", "certificate_expires_at"})
"""Fields that Crossdock sets; a change that carries them, as one made from a GET does, may leave them in."""
SHOWN_USERS = 5


class TryConnection(Protocol):
    """Uses a connection once."""

    async def __call__(self, connection: Connection, path: str = "") -> ConnectionTest: ...


@dataclass(frozen=True, slots=True)
class ConnectionPorts:
    """What managing connections works with."""

    store: Store
    vault: Vault
    catalog: Catalog
    rules: ConnectionRules
    now: Clock
    try_connection: TryConnection


class Connections:
    """The use cases around connection documents."""

    def __init__(self, ports: ConnectionPorts) -> None:
        self._ports = ports
        self._drafting = ConnectionDrafting(ports.rules, ports.vault)

    async def create(self, actor: Actor, document: Json) -> Json:
        """A new connection. Invalid when a field is wrong or the name is taken."""
        return await self.carry_out(actor, self.plan(actor, document, None))

    async def page(
        self,
        actor: Actor,
        *,
        q: str = "",
        kind: Kind | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Connections by name. `q` is looked for in names."""
        actor.require("viewer")
        wanted = ConnectionFilter(q.strip(), kind)
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._ports.store.read(
            connections_page, actor.workspace_id, wanted, after_name=after, limit=size + 1
        )
        uses = await self.all_uses(actor)
        return cut_page(
            rows, size, lambda one: one.row.name, lambda one: self._document(one, uses.get(one.row.name, ()))
        )

    async def show(self, actor: Actor, connection_id: str) -> Json:
        """The whole document, without secrets; NotFound when the workspace has no such connection."""
        actor.require("viewer")
        stored = await self.stored(actor, connection_id)
        return self._document(stored, await self._uses(actor, stored))

    async def used_by(
        self, actor: Actor, connection_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The integrations whose published workflow or draft names it, by name."""
        actor.require("viewer")
        size, after = check_limit(limit), read_text_cursor(cursor)
        uses = await self._uses(actor, await self.stored(actor, connection_id))
        later = [use for use in uses if after is None or use.integration > after]
        return cut_page(later[: size + 1], size, lambda use: use.integration, use_document)

    async def change(self, actor: Actor, connection_id: str, patch: Json) -> Json:
        """Merge a patch (RFC 7396) into the document and check the whole again; Conflict when `revision` in it is not
        the connection's any more, or when a new name would be taken from those who use the old one."""
        actor.require("admin")
        return await self.carry_out(actor, self._patched(await self.stored(actor, connection_id), patch))

    async def delete(self, actor: Actor, connection_id: str, *, note: str = "") -> None:
        """Delete with all secrets; Conflict, naming them, when integrations use it."""
        actor.require("admin")
        stored = await self.stored(actor, connection_id)
        subject, before, now = Subject(connection_id, stored.row.name), _editable(stored.row), self._ports.now()
        told = entry_of(actor, "connection.deleted", subject, now=now, before=before, note=note)
        change = audited(delete_connection, lambda answer: told if answer is True else None)
        answer = await self._ports.store.write(change, actor.workspace_id, connection_id)
        if isinstance(answer, Used):
            raise _used(stored.row.name, answer, "deleted")
        if not answer:
            raise _not_found(connection_id)
        await self._ports.catalog.reload()

    async def test(self, actor: Actor, connection_id: str, patch: Json = None) -> Json:
        """Use the connection once; with `patch` as it would be then, which is not saved and needs an admin."""
        actor.require("operator" if patch is None else "admin")
        stored = await self.stored(actor, connection_id)
        if patch is not None:
            return await self._try(actor, self._patched(stored, patch))
        secrets, trouble = self._drafting.open(stored)
        if trouble is not None:
            return {"outcome": "failed", "error": trouble, "details": {}}
        return await self._try_row(actor, Subject(connection_id, stored.row.name), stored.row, secrets)

    async def test_unsaved(self, actor: Actor, document: Json) -> Json:
        """Use the connection that a document would make; nothing is saved."""
        return await self._try(actor, self.plan(actor, document, None))

    # --- for the use cases beside this one ---------------------------------------------------------------------------

    async def stored(self, actor: Actor, connection_id: str) -> StoredConnection:
        """The connection as it is stored; NotFound when the workspace has none of this id."""
        found = await self._ports.store.read_at_once(connection_by_id, actor.workspace_id, connection_id)
        if found is None:
            raise _not_found(connection_id)
        return found

    async def all_stored(self, actor: Actor) -> list[StoredConnection]:
        """All connections of the workspace by name."""
        return await self._ports.store.read_at_once(workspace_connections, actor.workspace_id)

    async def all_uses(self, actor: Actor) -> dict[str, tuple[Use, ...]]:
        """Who uses the connections of the workspace, by their names."""
        return await self._ports.store.read(connection_uses, actor.workspace_id)

    def kept_keys(self, stored: StoredConnection) -> frozenset[str]:
        """The places of the secrets that are kept."""
        return frozenset(self._drafting.open(stored)[0])

    def plan(self, actor: Actor, document: Json, stored: StoredConnection | None) -> ConnectionSave:
        """The save that makes `stored`, or a new connection, be what a complete document says; nothing is written."""
        actor.require("admin")
        check_size(document, SUBJECT)
        refuse_read_only(document, READ_ONLY, SUBJECT)
        if stored is None:
            return self._drafting.new(actor, document, self._ports.now())
        return self._drafting.changed(stored, document, self._ports.now())

    async def carry_out(self, actor: Actor, save: ConnectionSave, *, note: str = "") -> Json:
        """Write a save; one that changes nothing is not written. The document as it is now."""
        actor.require("admin")
        if save.read_revision is None or save.differences:
            row, now = save.change.row, self._ports.now()
            made = _editable(row) if save.read_revision is None else None
            told = save_entry(
                actor,
                "connection",
                Subject(row.id, row.name),
                now=now,
                made=made,
                differences=save.differences,
                note=note,
            )
            await self._write(save, told)
        return await self.show(actor, save.change.row.id)

    def _patched(self, stored: StoredConnection, patch: Json) -> ConnectionSave:
        check_size(patch, SUBJECT)
        check_revision(patch, stored.row.revision, SUBJECT)
        plain = {key: value for key, value in patch.items() if key not in READ_ONLY}
        document = merge_patch(_editable(stored.row), plain, _replaced_whole(stored.row, plain))
        return self._drafting.changed(stored, document, self._ports.now())

    async def _write(self, save: ConnectionSave, told: AuditEntry) -> None:
        row = save.change.row

        def tell(answer: object) -> AuditEntry | None:
            return told if isinstance(answer, ConnectionRow) else None

        if save.read_revision is None:
            answer: object = await self._ports.store.write(audited(add_connection, tell), save.change)
        else:
            answer = await self._ports.store.write(audited(save_connection, tell), save.change, save.read_revision)
        match answer:
            case NameTaken():
                raise invalid(SUBJECT, (FieldError("name", f"is taken by another connection: {row.name}"),))
            case Overtaken():
                raise Conflict(
                    f"connection {row.id} was changed or deleted in the same moment; read it again and repeat it"
                )
            case Used():
                raise _used(row.name, answer, "renamed")
        await self._ports.catalog.reload()

    async def _try(self, actor: Actor, save: ConnectionSave) -> Json:
        row = save.change.row
        subject = Subject("" if save.read_revision is None else row.id, row.name)
        return await self._try_row(actor, subject, row, save.secrets)

    async def _try_row(self, actor: Actor, subject: Subject, row: ConnectionRow, secrets: Secrets) -> Json:
        # under an id of its own: a try begins without tokens and pools of before, and leaves none to the real one
        identity = (new_id("con"), 1, row.name)
        try:
            connection = read_connection(identity, row.kind, row.document, secrets, self._ports.rules.sqlite_folder)
        except (LookupError, ValueError) as error:
            return {"outcome": "failed", "error": f"the connection can't be used: {error}", "details": {}}
        tried = entry_of(actor, "connection.tested", subject, now=self._ports.now())
        await self._ports.store.write(record, tried)  # before anything goes out
        told = await self._ports.try_connection(connection, row.document.get("test_path") or "")
        document: dict[str, Any] = {"outcome": "successful" if told.error is None else "failed"}
        if told.error is not None:
            document["error"] = hide_secrets(secrets.values(), told.error)
        return {**document, "details": told.details}

    async def _uses(self, actor: Actor, stored: StoredConnection) -> tuple[Use, ...]:
        return (await self.all_uses(actor)).get(stored.row.name, ())

    def _document(self, stored: StoredConnection, uses: Sequence[Use]) -> Json:
        row = stored.row
        document = {"id": row.id, **_editable(row)}
        own = row.document.get("client_certificate")
        if row.kind == "http":
            document["certificate_expires_at"] = format_instant(expires_at(own["certificate"])) if own else None
        return {
            **document,
            "used_by": [use_document(use) for use in uses],
            "warnings": [*self._troubles(stored), *warnings(row, self._ports.now())],
            "revision": row.revision,
            "created_at": format_instant(row.created_at),
            "updated_at": format_instant(row.updated_at),
        }

    def _troubles(self, stored: StoredConnection) -> list[str]:
        trouble = self._drafting.open(stored)[1]
        return [] if trouble is None else [f"The connection can't be used: {trouble}"]


def warnings(row: ConnectionRow, now: Instant) -> list[str]:
    """What is allowed but probably not meant."""
    document = row.document
    if row.kind != "http":
        return []
    found: list[str | None] = []
    if document["base_url"].lower().startswith("http:"):
        found.append("Calls go over plain HTTP, readable to whoever is on the way.")
    if not document["verify_tls"]:
        found.append("The server's certificate is not checked: whoever stands between can read the credentials.")
    if document["client_certificate"]:
        end = expires_at(document["client_certificate"]["certificate"])
        found.append(expiry_warning("The client certificate", end, now))
    if document["ca_certificate"]:
        found.append(expiry_warning("The authority's certificate", expires_at(document["ca_certificate"]), now))
    return [text for text in found if text is not None]


def use_document(use: Use) -> Json:
    return {"id": use.integration_id, "name": use.integration, "published": use.published, "draft": use.draft}


def _editable(row: ConnectionRow) -> Json:
    """What a change starts from: the complete document with its secrets as `[set]`."""
    return {"name": row.name, "kind": row.kind, **row.document}


def _replaced_whole(row: ConnectionRow, patch: Json) -> tuple[str, ...]:
    """An authentication of another type has nothing in common with the one before."""
    given = patch.get("authentication")
    before = row.document.get("authentication", {}).get("type")
    return ("authentication",) if isinstance(given, dict) and given.get("type", before) != before else ()


def _used(name: str, used: Used, change: str) -> Conflict:
    users = [f"{use.integration}{'' if use.published else ' (draft)'}" for use in used.uses]
    more = f" and {len(users) - SHOWN_USERS} more" if len(users) > SHOWN_USERS else ""
    return Conflict(
        f"the connection can't be {change}: {', '.join(users[:SHOWN_USERS])}{more} use it; "
        "take it out of their workflows first"
    )


def _not_found(connection_id: str) -> NotFound:
    return NotFound(f"there is no connection {connection_id}")
