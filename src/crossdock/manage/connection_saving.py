"""From a connection document to the one write that saves it: checks, secrets, and what changes by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from crossdock.manage.fields import SET
from crossdock.manage.merge import differences
from crossdock.manage.refusals import invalid
from crossdock.manage.saving import Difference
from crossdock.manage.secrets import seal, unseal
from crossdock.model.errors import FieldError
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.outbound.connection_document import CLIENT_KEY
from crossdock.store.connections import CREDENTIALS, ConnectionChange, ConnectionRow, StoredConnection
from crossdock.store.secrets import SecretRow
from crossdock.vault import Vault, VaultError

Secrets = Mapping[str, str]
"""Secret values by the keys of their places."""


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
        secrets = _complete(draft, {}, None)
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
        return ConnectionSave(ConnectionChange(row, self._sealed(row.id, secrets)), None, (), secrets)

    def changed(self, stored: StoredConnection, document: Json, now: Instant) -> ConnectionSave:
        """The save that makes `stored` be what `document` says. Secrets that it leaves out are kept."""
        before = stored.row
        if isinstance(document, dict) and document.get("kind") not in (None, before.kind):
            raise invalid(SUBJECT, (FieldError("kind", f"can't be changed; it is {before.kind}"),))
        draft = read_connection_document(document, self._rules_for(stored))
        kept, trouble = self.open(stored)
        secrets = _complete(draft, kept, stored.row, trouble)
        row = replace(before, name=draft.name, document=draft.settings, revision=before.revision + 1, updated_at=now)
        changes = secrets != kept or trouble is not None
        change = ConnectionChange(
            row,
            self._sealed(row.id, secrets) if changes else None,
            drops_credentials=changes and not secrets and stored.credentials is not None,
        )
        found = differences({"name": before.name, **before.document}, {"name": row.name, **row.document})
        told = [Difference(*one) for one in found]
        fields = {one.field for one in told}
        told += [
            Difference(draft.fields[key], SET, SET)
            for key, value in secrets.items()
            if kept.get(key) != value and draft.fields[key] not in fields
        ]
        return ConnectionSave(change, before.revision, tuple(told), secrets)

    def open(self, stored: StoredConnection) -> tuple[dict[str, str], str | None]:
        """The stored secrets; nothing and the reason when they can't be opened."""
        if stored.credentials is None:
            return {}, None
        try:
            secrets: dict[str, str] = json.loads(unseal(self.vault, stored.credentials))
        except VaultError as error:  # its master key is gone: entering the secrets again is the way out
            return {}, str(error)
        return secrets, None

    def _sealed(self, owner_id: str, secrets: Secrets) -> SecretRow | None:
        if not secrets:
            return None
        return seal(self.vault, owner_id, CREDENTIALS, json.dumps(secrets, sort_keys=True).encode())

    def _rules_for(self, stored: StoredConnection) -> ConnectionRules:
        """Addresses that stay as they are were checked when they were saved. What has become since then of allowed
        targets must not keep anybody from changing the rest."""
        document = stored.row.document
        known = {document.get("base_url"), document.get("authentication", {}).get("token_endpoint_url")}

        def check_changed(url: str) -> None:
            if url not in known:
                self.rules.check_url(url)

        return replace(self.rules, check_url=check_changed)


def _complete(
    draft: ConnectionDraft, kept: Secrets, before: ConnectionRow | None, trouble: str | None = None
) -> dict[str, str]:
    """All secrets, given and kept. A kept one goes only to where it was entered for: otherwise whoever may change the
    address could have it sent to himself."""
    errors: list[FieldError] = []
    complete: dict[str, str] = {}
    moved = _moved(draft, before)
    for key, given in draft.secrets.items():
        field = draft.fields[key]
        if given is not None:
            complete[key] = given
        elif key in kept and (moved is None or key == CLIENT_KEY):
            complete[key] = kept[key]
        elif key in kept:
            errors.append(FieldError(field, f"has to be written again: it was kept for {moved} and goes nowhere else"))
        elif trouble is not None:
            errors.append(FieldError(field, f"can't be kept: {trouble}"))
        else:
            errors.append(FieldError(field, "is required; there is no value to keep"))
    if not errors and CLIENT_KEY in complete:
        try:  # the kept key may be that of another certificate
            check_belongs(draft.settings["client_certificate"]["certificate"], complete[CLIENT_KEY])
        except ValueError as error:
            errors.append(FieldError(CLIENT_KEY, str(error)))
    if errors:
        raise invalid(SUBJECT, errors)
    return complete


def _moved(draft: ConnectionDraft, before: ConnectionRow | None) -> str | None:
    """Where the kept secrets went so far, if the document leads somewhere else."""
    if before is None:
        return None
    there = destination_of(before.kind, before.document)
    return there if there != destination_of(draft.kind, draft.settings) else None
