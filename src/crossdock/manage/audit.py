"""The audit log for people: who changed what in a workspace, and how it was before and after. Only admins read it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crossdock.manage.actor import Actor
from crossdock.manage.filters import check_filter, read_time
from crossdock.manage.merge import differences
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor, write_cursor
from crossdock.model.errors import FieldError, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import format_instant
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, AuditFilter, audit_entry, audit_page, audit_stretch

SEARCH_CHARACTERS = 200
LOOKED_AT = 10_000
"""How many entries one page looks at for what no index leads to: some ten milliseconds."""
SHOWN_FIELDS = 20
"""How many names of changed fields a list shows of each entry."""

_ACTION = re.compile(r"[a-z_]{1,40}(\.[a-z_]{1,40})?")


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """What the log is asked for, as people write it.

    `subject` and `actor` are ids; `action` is a whole one (`integration.changed`) or a group (`integration`); `q` is
    looked for in names, actions, notes and documents. Times are RFC 3339; `until` itself is not included.
    """

    subject: str | None = None
    actor: str | None = None
    action: str | None = None
    q: str | None = None
    since: str | None = None
    until: str | None = None


class Audit:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, actor: Actor, query: AuditQuery, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The newest entries that match, with the names of the fields that changed; `show` tells the documents.

        A page looks at so many entries at most: it may be short, or empty, while `next` goes on.
        """
        actor.require("admin")
        wanted, size, after = read_filter(query), check_limit(limit), read_text_cursor(cursor)
        end = await self._end_of_look(actor, wanted, after) if wanted.looks_into_entries else None
        found = await self._store.read(
            audit_page, actor.workspace_id, wanted, after_id=after, down_to=end, limit=size + 1
        )
        page = cut_page(found, size, lambda entry: entry.id, line_document)
        return page if page.next is not None or end is None else Page(page.items, write_cursor(end))

    async def _end_of_look(self, actor: Actor, wanted: AuditFilter, after: str | None) -> str | None:
        return await self._store.read(audit_stretch, actor.workspace_id, wanted, after_id=after, most=LOOKED_AT)

    async def show(self, actor: Actor, entry_id: str) -> Json:
        """One entry with its documents and what differs between them; NotFound when the workspace has no such one."""
        actor.require("admin")
        entry = await self._store.read(audit_entry, actor.workspace_id, entry_id) if "\x00" not in entry_id else None
        if entry is None:
            raise NotFound(
                f"the audit log has no entry {entry_id[:64]} here; entries are removed when the time of the setting"
                " audit_retention is over"
            )
        return entry_document(entry)


def read_filter(query: AuditQuery) -> AuditFilter:
    """The filter that a query means; Invalid names every field that is wrong."""
    errors: list[FieldError] = []
    for name in ("subject", "actor", "q"):
        text = getattr(query, name) or ""
        if len(text) > SEARCH_CHARACTERS or not text.isprintable():
            errors.append(FieldError(name, f"must be one line of {SEARCH_CHARACTERS} characters at most"))
    if query.action is not None and not _ACTION.fullmatch(query.action):
        errors.append(FieldError("action", "must be an action such as integration.changed, or a group of them"))
    wanted = AuditFilter(
        subject_id=query.subject,
        actor_id=query.actor,
        action=query.action,
        search=(query.q or "").strip(),
        since=read_time("since", query.since, errors),
        until=read_time("until", query.until, errors),
    )
    check_filter(errors)
    return wanted


# --- documents -------------------------------------------------------------------------------------------------------


def line_document(entry: AuditEntry) -> Json:
    """An entry in the list. Of what was made or deleted no fields are named: it is all of them."""
    is_change = entry.before is not None and entry.after is not None
    fields = [field for field, _, _ in _differences(entry)] if is_change else []
    return {**_head(entry), "fields": fields[:SHOWN_FIELDS], "more_fields": max(0, len(fields) - SHOWN_FIELDS)}


def entry_document(entry: AuditEntry) -> Json:
    changes = [{"field": field, "before": before, "after": after} for field, before, after in _differences(entry)]
    return {**_head(entry), "before": entry.before, "after": entry.after, "changes": changes}


def _head(entry: AuditEntry) -> Json:
    return {
        "id": entry.id,
        "at": format_instant(entry.at),
        "actor": {"id": entry.actor_id or None, "name": entry.actor_name},
        "action": entry.action,
        "subject": {"id": entry.subject_id or None, "name": entry.subject_name},
        "note": entry.note,
    }


def _differences(entry: AuditEntry) -> list[tuple[str, Json, Json]]:
    before, after = ({} if side is None else side for side in (entry.before, entry.after))
    return differences(before, after)
