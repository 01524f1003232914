"""What the audit log tells of integrations, their workflows and drafts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, changed_fields, entry_of
from crossdock.manage.fields import SET
from crossdock.manage.merge import differences
from crossdock.manage.saving import Difference, Save
from crossdock.manage.written import editable_document
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.audit import AuditEntry
from crossdock.store.drafts import DraftRow
from crossdock.store.integrations import IntegrationRow, StoredIntegration

SHOWN = "[shown]"
"""Stands for a secret that somebody was shown."""


def saved_entry(actor: Actor, save: Save, saved: IntegrationRow, now: Instant, note: str = "") -> AuditEntry:
    """That an integration was made or changed; `saved` is its row as it is now."""
    subject = subject_of(saved)
    if save.was is None:
        document = _document(saved, save.change.workflow, [secret.name for secret in save.change.secrets])
        return entry_of(actor, "integration.created", subject, now=now, after=document, note=note)
    before, after = _with_versions(save.differences, save.was.workflow_number, saved.workflow_number)
    return entry_of(actor, _action(save, saved), subject, now=now, before=before, after=after, note=note)


def _action(save: Save, saved: IntegrationRow) -> str:
    """A change of nothing but the status, or the workflow, has a name of its own."""
    fields = {one.field.partition(".")[0] for one in save.differences}
    if fields == {"status"}:
        return "integration.enabled" if saved.enabled else "integration.disabled"
    if fields == {"workflow"}:
        return "workflow.published" if saved.workflow_number else "workflow.removed"
    return "integration.changed"


def deleted_entry(actor: Actor, stored: StoredIntegration, now: Instant, note: str = "") -> AuditEntry:
    document = _document(stored.row, stored.workflow, stored.secrets)
    return entry_of(actor, "integration.deleted", subject_of(stored.row), now=now, before=document, note=note)


def _document(row: IntegrationRow, workflow: Json, secrets: Collection[str]) -> Json:
    document = {**editable_document(row, workflow), "workflow_version": row.workflow_number}
    return {**document, **dict.fromkeys(sorted(secrets), SET)}


def published_entry(
    actor: Actor, stored: StoredIntegration, number: int, workflow: Json, now: Instant, *, rolls_back: bool = False
) -> AuditEntry:
    """That `workflow`, which is the version `number`, counts from now on; `stored` is the integration before."""
    action = "workflow.rolled_back" if rolls_back else "workflow.published"
    found = _differences(stored.workflow, workflow)
    before, after = _with_versions(found, stored.row.workflow_number, number)
    return entry_of(actor, action, subject_of(stored.row), now=now, before=before, after=after)


def _with_versions(found: Sequence[Difference], was: int, becomes: int) -> tuple[Json, Json]:
    if was != becomes:
        found = [*found, Difference("workflow_version", was, becomes)]
    return changed_fields(found)


def _differences(was: Json, becomes: Json) -> list[Difference]:
    return [Difference(*one) for one in differences({"workflow": was}, {"workflow": becomes})]


# --- drafts ----------------------------------------------------------------------------------------------------------


def draft_saved_entry(
    actor: Actor, stored: StoredIntegration, was: DraftRow | None, draft: DraftRow, now: Instant
) -> AuditEntry:
    """What differs from the draft before, or, for a new one, from what is published."""
    found = _differences(stored.workflow if was is None else was.document, draft.document)
    based_on = None if was is None else was.based_on
    if based_on != draft.based_on:
        found.append(Difference("based_on", based_on, draft.based_on))
    before, after = changed_fields(found)
    return entry_of(actor, "draft.saved", subject_of(stored.row), now=now, before=before, after=after)


def draft_discarded_entry(actor: Actor, stored: StoredIntegration, draft: DraftRow, now: Instant) -> AuditEntry:
    before = {"workflow": draft.document, "based_on": draft.based_on}
    return entry_of(actor, "draft.discarded", subject_of(stored.row), now=now, before=before)


# --- signing secrets -------------------------------------------------------------------------------------------------


def secret_shown_entry(actor: Actor, row: IntegrationRow, now: Instant) -> AuditEntry:
    document = {"signing_secret": SHOWN}
    return entry_of(actor, "integration.signing_secret_shown", subject_of(row), now=now, after=document)


def secret_rotated_entry(actor: Actor, stored: StoredIntegration, now: Instant) -> AuditEntry:
    """The new one is shown to whoever rotates it."""
    was = SET if "signing_secret" in stored.secrets else None
    before, after = changed_fields([Difference("signing_secret", was, SET)])
    return entry_of(
        actor, "integration.signing_secret_rotated", subject_of(stored.row), now=now, before=before, after=after
    )


def subject_of(row: IntegrationRow) -> Subject:
    return Subject(row.id, row.name)
