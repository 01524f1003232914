"""From a notification webhook's document to the one write that saves it: checks, secrets, and what changes by it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from crossdock.clock import new_id
from crossdock.manage.actor import Actor
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
from crossdock.manage.saving import Difference
from crossdock.manage.secrets import SIGNING_SECRET
from crossdock.manage.webhook_documents import (
    SUBJECT,
    WebhookDraft,
    WebhookRules,
    destination_of,
    read_webhook_document,
)
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.webhooks import StoredWebhook, WebhookChange, WebhookRow
from crossdock.vault import Vault


@dataclass(frozen=True, slots=True)
class WebhookSave:
    """A save that is ready to be written. `read_revision` is None for a new webhook."""

    change: WebhookChange
    read_revision: int | None
    differences: tuple[Difference, ...]
    secrets: Secrets
    """All of them, kept ones included: what a test of the webhook works with. Never shown."""


@dataclass(frozen=True, slots=True)
class WebhookDrafting:
    """Turns documents into saves."""

    rules: WebhookRules
    vault: Vault

    def new(self, actor: Actor, document: Json, now: Instant) -> WebhookSave:
        """The save of a new webhook; Invalid when the document is wrong."""
        draft = read_webhook_document(document, self.rules)
        secrets = complete_secrets(SUBJECT, draft.secrets, KeptSecrets())
        row = WebhookRow(
            id=new_id("nwh"),
            workspace_id=actor.workspace_id,
            workspace=actor.workspace,
            name=draft.name,
            active=draft.active,
            document=draft.settings,
            revision=1,
            created_at=now,
            updated_at=now,
        )
        return WebhookSave(WebhookChange(row, seal_credentials(self.vault, row.id, secrets)), None, (), secrets)

    def changed(self, stored: StoredWebhook, document: Json, now: Instant) -> WebhookSave:
        """The save that makes `stored` be what `document` says. Secrets that it leaves out are kept."""
        before = stored.row
        draft = read_webhook_document(document, self._rules_for(before))
        kept, trouble = open_credentials(self.vault, stored.credentials)
        moved = _moved(draft, before)
        secrets = complete_secrets(SUBJECT, draft.secrets, KeptSecrets(kept, trouble, moved, (SIGNING_SECRET,)))
        row = replace(
            before,
            name=draft.name,
            active=draft.active,
            document=draft.settings,
            revision=before.revision + 1,
            updated_at=now,
        )
        changes = secrets != kept or trouble is not None
        change = WebhookChange(
            row,
            seal_credentials(self.vault, row.id, secrets) if changes else None,
            drops_credentials=changes and not secrets and stored.credentials is not None,
        )
        told = [Difference(*one) for one in differences(editable(before), editable(row))]
        told += secret_differences(draft.secrets, kept, secrets, told)
        return WebhookSave(change, before.revision, tuple(told), secrets)

    def open(self, stored: StoredWebhook) -> tuple[dict[str, str], str | None]:
        """The stored secrets; nothing and the reason when they can't be opened."""
        return open_credentials(self.vault, stored.credentials)

    def _rules_for(self, row: WebhookRow) -> WebhookRules:
        """An integration that is gone must not keep anybody from changing the rest, either."""
        document = row.document
        known = {document["url"], document["authentication"].get("token_endpoint_url")}
        gone = {one: one for one in document["filters"]["integrations"] if one not in self.rules.integrations}
        check_url = unless_known(self.rules.check_url, known)
        return replace(self.rules, check_url=check_url, integrations={**self.rules.integrations, **gone})


def editable(row: WebhookRow) -> Json:
    """What a change starts from: the complete document with its secrets as `[set]`."""
    return {"name": row.name, "active": row.active, **row.document}


def _moved(draft: WebhookDraft, before: WebhookRow) -> str | None:
    """Where the kept secrets went so far, if the document leads somewhere else."""
    there = destination_of(before.document)
    return there if there != destination_of(draft.settings) else None
