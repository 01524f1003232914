"""Health for people: the state of an integration, what is wrong, what was; and what somebody does about an issue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import entry_of
from crossdock.manage.health_documents import change_document, health_document, issue_document
from crossdock.manage.integration_entries import subject_of
from crossdock.manage.integrations import Integrations
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.ports import Stages
from crossdock.manage.refusals import invalid
from crossdock.model.errors import Conflict, FieldError, NotFound
from crossdock.model.health import Issue, Watched, watched
from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant, later, parse_duration, parse_instant
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited
from crossdock.store.health import (
    Acted,
    Deed,
    Means,
    acknowledge_issue,
    history_page,
    issues_of,
    read_health,
    resolve_issue,
    snooze_issue,
)
from crossdock.store.integration_document import read_integration
from crossdock.store.integrations import StoredIntegration

Which: TypeAlias = Literal["open", "resolved"]
LONGEST_SNOOZE_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class HealthPorts:
    """What looking at health works with. `damping` is in seconds: how often a webhook is told one state at most."""

    store: Store
    integrations: Integrations
    now: Clock
    stages: Stages
    damping: float = 60.0


class HealthOfIntegrations:
    def __init__(self, ports: HealthPorts) -> None:
        self._ports = ports

    async def show(
        self, actor: Actor, integration_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Json:
        """The state with its open issues, and a page of its history, the newest change first."""
        actor.require("viewer")
        size, before = check_limit(limit), read_text_cursor(cursor)
        stored = await self._ports.integrations.stored(actor, integration_id)
        known = await self._ports.store.read(read_health, integration_id)
        changes = await self._ports.store.read(history_page, integration_id, before=before, limit=size + 1)
        page = cut_page(changes, size, lambda change: change.id, change_document)
        document = health_document(stored.row, known, self._ports.now())
        return {**document, "history": page.items, "next": page.next}

    async def issues(
        self,
        actor: Actor,
        integration_id: str,
        which: Which = "open",
        *,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Open issues, or those that are over, the newest first."""
        actor.require("viewer")
        size, before = check_limit(limit), read_text_cursor(cursor)
        await self._ports.integrations.stored(actor, integration_id)
        found = await self._ports.store.read(
            issues_of, integration_id, are_open=which == "open", before=before, limit=size + 1
        )
        now = self._ports.now()
        return cut_page(found, size, lambda issue: issue.id, lambda issue: issue_document(issue, now))

    async def acknowledge(self, actor: Actor, integration_id: str, issue_id: str, note: str = "") -> Json:
        """Say that somebody has seen an issue. The state stays as it is."""
        actor.require("operator")
        stored = await self._ports.integrations.stored(actor, integration_id)
        deed = self._deed(actor, note)

        def tell(issue: Issue | None) -> AuditEntry | None:
            return _entry(actor, "issue.acknowledged", stored, issue, deed)

        change = audited(acknowledge_issue, tell)
        issue = await self._ports.store.write(change, integration_id, issue_id, deed)
        return self._told(issue, issue_id, deed.now)

    async def snooze(self, actor: Actor, integration_id: str, issue_id: str, until: Instant, note: str = "") -> Json:
        """Let an issue not count for the state until a moment (`snooze_end`)."""
        actor.require("operator")
        place = (integration_id, issue_id)
        return await self._act(actor, place, "issue.snoozed", note, snooze_issue, until)

    async def wake(self, actor: Actor, integration_id: str, issue_id: str) -> Json:
        """Let a snoozed issue count again."""
        actor.require("operator")
        return await self._act(actor, (integration_id, issue_id), "issue.woken", "", snooze_issue, None)

    async def resolve(self, actor: Actor, integration_id: str, issue_id: str, note: str = "") -> Json:
        """End an issue and forget what was counted for it: it comes back when it is met again."""
        actor.require("operator")
        return await self._act(actor, (integration_id, issue_id), "issue.resolved", note, resolve_issue)

    def now(self) -> Instant:
        """The moment that all of this is seen from."""
        return self._ports.now()

    def snooze_end(self, length: str | None, until: str | None) -> Instant:
        """The moment that a duration or a time stands for; Invalid unless there is one of them, and it is to come."""
        now = self._ports.now()
        if (length is None) == (until is None):
            raise _unclear("for", "is needed, such as PT8H; or write until, such as 2026-11-22T18:00:00Z, but not both")
        name = "until" if length is None else "for"
        try:
            end = parse_instant(until) if until is not None else later(now, parse_duration(length or ""))
        except ValueError as error:
            raise _unclear(name, str(error)) from None
        if end < now + SECOND:
            raise _unclear(name, "must be in the future, a second at least")
        if end > later(now, LONGEST_SNOOZE_SECONDS):
            raise _unclear(name, "must be within a year; for longer, change the integration's health rules")
        return end

    async def _act(
        self,
        actor: Actor,
        place: tuple[str, str],
        action: str,
        note: str,
        change: Callable[..., Acted],
        *more: Any,
    ) -> Json:
        integration_id, issue_id = place
        stored = await self._ports.integrations.stored(actor, integration_id)
        deed = self._deed(actor, note)
        means = Means(new_id, self._ports.damping)

        def tell(acted: Acted) -> AuditEntry | None:
            return _entry(actor, action, stored, acted.issue, deed)

        acted = await self._ports.store.write(audited(change, tell), watched_of(stored), issue_id, *more, deed, means)
        if acted.deliveries:
            self._ports.stages.delivery_added()
        return self._told(acted.issue, issue_id, deed.now)

    def _deed(self, actor: Actor, note: str) -> Deed:
        return Deed(actor.name, note or None, self._ports.now())

    def _told(self, issue: Issue | None, issue_id: str, now: Instant) -> Json:
        if issue is None:
            raise NotFound(f"there is no open issue {issue_id[:64]} here; it may be over by now")
        return issue_document(issue, now)


def _entry(actor: Actor, action: str, stored: StoredIntegration, issue: Issue | None, deed: Deed) -> AuditEntry | None:
    """That somebody did something about an issue; None where there was none."""
    if issue is None:
        return None
    document = issue_document(issue, deed.now)
    after = {name: document[name] for name in ("id", "key", "status", "message", "snoozed_until")}
    return entry_of(actor, action, subject_of(stored.row), now=deed.now, after=after, note=deed.note or "")


def watched_of(stored: StoredIntegration) -> Watched:
    """What an integration's settings say about its health; Conflict when they can't be read."""
    try:
        return watched(read_integration(stored.row, {}))
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise Conflict(f"the settings of {stored.row.name} can't be read, save them again first: {error}") from None


def _unclear(name: str, message: str) -> Exception:
    return invalid("the snooze", (FieldError(name, message),))
