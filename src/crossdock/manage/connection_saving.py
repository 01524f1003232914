"""From a connection document to the one write that saves it: checks, secrets, and what changes by it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossdock.clock import new_id
from crossdock.manage.actor import Actor
from crossdock.manage.certificates import check_belongs
from crossdock.manage.connection_documents import (
    SUBJECT,
    ConnectionDraft,
    ConnectionRules,
    destination_of,
    read_connection_document,
)
from crossdock.manage.credentials import (
    KeptSecrets,
    Secrets,
    complete_secrets,
    open_credentials,
    seal_credentials,
    secret_differences,
    unless_known,
)
from crossdock.manage.merge import differences
from crossdock.manage.refusals import invalid
from crossdock.manage.saving import Difference
from crossdock.model.errors import FieldError
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.outbound.connection_document import CLIENT_KEY
from crossdock.store.connections import ConnectionChange, ConnectionRow, StoredConnection
from crossdock.vault import Vault


@dataclass(frozen=True, slots=True)
class ConnectionSave:
    """A save that is ready to be written. `read_revision` is None for a new connection."""

    change: ConnectionChange
    read_revision: int | None
    differences: tuple[Difference, ...]
    secrets: Secrets
    """All of them, kept ones included: what a try of the connection works with. Never shown."""


@dataclass(frozen=True, slots=True)
class ConnectionDrafting:
    """Turns documents into saves."""

    rules: ConnectionRules
    vault: Vault

    def new(self, actor: Actor, document: Json, now: Instant) -> ConnectionSave:
        """The save of a new connection; Invalid when the document is wrong."""
        draft = read_connection_document(document, self.rules)
        secrets = _complete(draft, KeptSecrets())
        row = ConnectionRow(
            id=new_id("con"),
            workspace_id=actor.workspace_id,
            workspace=actor.workspace,
            name=draft.name,
            kind=draft.kind,
            document=draft.settings,
            revision=1,
            created_at=now,
            updated_at=now,
        )
        return ConnectionSave(ConnectionChange(row, seal_credentials(self.vault, row.id, secrets)), None, (), secrets)

    def changed(self, stored: StoredConnection, document: Json, now: Instant) -> ConnectionSave:
        """The save that makes `stored` be what `document` says. Secrets that it leaves out are kept."""
        before = stored.row
        if isinstance(document, dict) and document.get("kind") not in (None, before.kind):
            raise invalid(SUBJECT, (FieldError("kind", f"can't be changed; it is {before.kind}"),))
        draft = read_connection_document(document, self._rules_for(stored))
        kept, trouble = self.open(stored)
        secrets = _complete(draft, KeptSecrets(kept, trouble, _moved(draft, before), (CLIENT_KEY,)))
        row = replace(before, name=draft.name, document=draft.settings, revision=before.revision + 1, updated_at=now)
        changes = secrets != kept or trouble is not None
        change = ConnectionChange(
            row,
            seal_credentials(self.vault, row.id, secrets) if changes else None,
            drops_credentials=changes and not secrets and stored.credentials is not None,
        )
        found = differences({"name": before.name, **before.document}, {"name": row.name, **row.document})
        told = [Difference(*one) for one in found]
        told += secret_differences(draft.secrets, kept, secrets, told)
        return ConnectionSave(change, before.revision, tuple(told), secrets)

    def open(self, stored: StoredConnection) -> tuple[dict[str, str], str | None]:
        """The stored secrets; nothing and the reason when they can't be opened."""
        return open_credentials(self.vault, stored.credentials)

    def _rules_for(self, stored: StoredConnection) -> ConnectionRules:
        document = stored.row.document
        known = {document.get("base_url"), document.get("authentication", {}).get("token_endpoint_url")}
        return replace(self.rules, check_url=unless_known(self.rules.check_url, known))


def _complete(draft: ConnectionDraft, kept: KeptSecrets) -> dict[str, str]:
    """All secrets, given and kept; Invalid also when the kept key is that of another certificate."""
    complete = complete_secrets(SUBJECT, draft.secrets, kept)
    if CLIENT_KEY in complete:
        try:
            check_belongs(draft.settings["client_certificate"]["certificate"], complete[CLIENT_KEY])
        except ValueError as error:
            raise invalid(SUBJECT, (FieldError(CLIENT_KEY, str(error)),)) from None
    return complete


def _moved(draft: ConnectionDraft, before: ConnectionRow) -> str | None:
    """Where the kept secrets went so far, if the document leads somewhere else."""
    there = destination_of(before.kind, before.document)
    return there if there != destination_of(draft.kind, draft.settings) else None
