"""From a document to the one write that saves it: checks, secrets, workflow version, and what changes by it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from crossdock.clock import new_id
from crossdock.manage.actor import Actor
from crossdock.manage.documents import Draft, Rules, read_document
from crossdock.manage.fields import SET
from crossdock.manage.merge import differences
from crossdock.manage.refusals import invalid
from crossdock.manage.secrets import BASIC_PASSWORD, PLATFORM_TOKEN, REPLY_HEADERS, SIGNING_SECRET, seal, unseal
from crossdock.manage.written import editable_document, redact_headers
from crossdock.model.errors import FieldError
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.model.workflow import connections_named
from crossdock.outbound.urls import origin_of
from crossdock.store.integrations import IntegrationChange, IntegrationRow, StoredIntegration
from crossdock.store.secrets import SecretRow
from crossdock.vault import Vault, VaultError, new_signing_secret


@dataclass(frozen=True, slots=True)
class Difference:
    """A field before and after. Of secrets only that they change is told."""

    field: str
    before: Json
    after: Json

    def document(self) -> Json:
        return {"field": self.field, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Save:
    """A save that is ready to be written. `read_revision` is None for a new integration."""

    change: IntegrationChange
    read_revision: int | None
    differences: tuple[Difference, ...]
    was: IntegrationRow | None = None
    """The row that it was made from."""


@dataclass(frozen=True, slots=True)
class Drafting:
    """Turns documents into saves."""

    rules: Rules
    vault: Vault

    def new(self, actor: Actor, document: Json, now: Instant) -> Save:
        """The save of a new integration, with a signing secret of its own; Invalid when the document is wrong."""
        draft = read_document(document, self.rules)
        owner_id = new_id("int")
        sealed = self._sealed(draft, owner_id, {}, ())
        signing = seal(self.vault, owner_id, SIGNING_SECRET, new_signing_secret())
        row = IntegrationRow(
            id=owner_id,
            workspace_id=actor.workspace_id,
            workspace=actor.workspace,
            name=draft.name,
            type=draft.type,
            enabled=draft.enabled,
            path=draft.path,
            document=redact_headers(draft.settings),
            workflow_number=0,
            revision=1,
            created_at=now,
            updated_at=now,
        )
        named = connections_named(draft.workflow)
        change = IntegrationChange(row, (*sealed, signing), (), draft.workflow, actor.name, named)
        return Save(change, None, ())

    def changed(
        self, actor: Actor, stored: StoredIntegration, document: Json, now: Instant, dropped: Collection[str] = ()
    ) -> Save:
        """The save that makes `stored` be what `document` says. Secrets that it does not name, nor drops, are kept."""
        if document.get("type") not in (None, stored.row.type):
            raise invalid("the integration", (FieldError("type", f"can't be changed; it is {stored.row.type}"),))
        draft = read_document(document, self._rules_for(stored))
        secrets = self._sealed(draft, stored.row.id, stored.secrets, dropped, _moved_from(stored, draft))
        gone = tuple(sorted({*dropped, *self._unused_headers(draft, stored)} & stored.secrets.keys()))
        changes_workflow = draft.workflow is not None and draft.workflow != stored.workflow
        row = replace(
            stored.row,
            name=draft.name,
            enabled=draft.enabled,
            path=draft.path,
            document=redact_headers(draft.settings),
            workflow_number=0 if draft.workflow is None else stored.row.workflow_number,
            revision=stored.row.revision + 1,
            updated_at=now,
        )
        workflow = draft.workflow if changes_workflow else None
        change = IntegrationChange(row, secrets, gone, workflow, actor.name, connections_named(workflow))
        found = differences(editable_document(stored.row, stored.workflow), editable_document(row, draft.workflow))
        told = [Difference(*one) for one in found]
        told += [Difference(secret.name, SET if secret.name in stored.secrets else None, SET) for secret in secrets]
        told += [Difference(name, SET, None) for name in gone]
        return Save(change, stored.row.revision, tuple(told), stored.row)

    def _rules_for(self, stored: StoredIntegration) -> Rules:
        """A workflow and a reply URL that stay as they are were checked when they were saved. What has become since
        then of functions and allowed targets must not keep anybody from switching the integration off."""
        reply_url = (stored.row.document.get("reply") or {}).get("url")

        def compile_changed(workflow: Json, number: int, /, *, connections: Mapping[str, str]) -> object:
            same = workflow == stored.workflow
            return None if same else self.rules.compile_workflow(workflow, number, connections=connections)

        def check_changed(url: str) -> None:
            if url != reply_url:
                self.rules.check_url(url)

        return Rules(compile_changed, check_changed, self.rules.connections)

    def _sealed(
        self,
        draft: Draft,
        owner_id: str,
        kept: Mapping[str, SecretRow],
        dropped: Collection[str],
        moved_from: str | None = None,
    ) -> tuple[SecretRow, ...]:
        """The secrets that have to be written: those that are new or differ from what is kept."""
        headers = self._complete_headers(draft, kept, moved_from)
        given = {
            PLATFORM_TOKEN: draft.platform_token.encode() if draft.platform_token is not None else None,
            BASIC_PASSWORD: draft.basic_password.encode() if draft.basic_password is not None else None,
            REPLY_HEADERS: json.dumps(headers, sort_keys=True).encode() if headers else None,
        }
        present = {name for name, value in given.items() if value is not None} | (kept.keys() - set(dropped))
        _check_credentials(draft, present)
        return tuple(
            seal(self.vault, owner_id, name, value)
            for name, value in given.items()
            if value is not None and (name not in kept or not self._is_same(kept[name], value))
        )

    def _complete_headers(self, draft: Draft, kept: Mapping[str, SecretRow], moved_from: str | None) -> dict[str, str]:
        """The secret headers, with the kept value where the document says `[set]`: it goes to no other place, because
        whoever changes the address could not read it.
        """
        if SET not in draft.secret_headers.values():
            return dict(draft.secret_headers)
        known = self._known_headers(kept)
        errors = []
        for name, value in draft.secret_headers.items():
            if value == SET and name not in known:
                errors.append(FieldError(f"reply.headers.{name}", "has no value to keep; write it"))
            elif value == SET and moved_from is not None:
                errors.append(FieldError(f"reply.headers.{name}", kept_elsewhere(moved_from)))
        if errors:
            raise invalid("the integration", errors)
        return {name: known[name] if value == SET else value for name, value in draft.secret_headers.items()}

    def _is_same(self, kept: SecretRow, value: bytes) -> bool:
        try:
            return hmac.compare_digest(unseal(self.vault, kept), value)
        except VaultError:  # its master key is gone: entering the secret again is the way out
            return False

    def _known_headers(self, kept: Mapping[str, SecretRow]) -> Mapping[str, str]:
        if REPLY_HEADERS not in kept:
            return {}
        try:
            headers: dict[str, str] = json.loads(unseal(self.vault, kept[REPLY_HEADERS]))
        except VaultError as error:
            raise invalid("the integration", (FieldError("reply.headers", f"can't be kept: {error}"),)) from None
        return headers

    def _unused_headers(self, draft: Draft, stored: StoredIntegration) -> tuple[str, ...]:
        return () if draft.secret_headers or REPLY_HEADERS not in stored.secrets else (REPLY_HEADERS,)


def _moved_from(stored: StoredIntegration, draft: Draft) -> str | None:
    """Where replies went so far, if they are to go somewhere else."""
    before, after = stored.row.document.get("reply"), draft.settings["reply"]
    if before is None or after is None:
        return None
    went = origin_of(before["url"])
    return went if went != origin_of(after["url"]) else None


def kept_elsewhere(place: str) -> str:
    """What is told of a secret that was to be kept although it would go to another place."""
    return f"has to be written again: it was kept for {place} and goes nowhere else"


def _check_credentials(draft: Draft, present: Collection[str]) -> None:
    """Invalid when an enabled integration lacks the credential that its mode asks for: it could never be called."""
    if not draft.enabled:
        return
    authentication = draft.settings["trigger"]["authentication"]
    errors = []
    if authentication["mode"] == "platform_token" and PLATFORM_TOKEN not in present:
        advice = "is needed to enable the integration; set it, or choose another trigger.authentication.mode"
        errors.append(FieldError("platform_token", advice))
    if authentication["mode"] == "basic":
        if not authentication["username"]:
            errors.append(FieldError("trigger.authentication.username", "is needed to enable the integration"))
        if BASIC_PASSWORD not in present:
            errors.append(FieldError("trigger.authentication.password", "is needed to enable the integration"))
    if errors:
        raise invalid("the integration", errors)
