"""What the audit log keeps of changes of users: what they are in the workspace `default`, what they may do in each
workspace in that one, so that its own admins see who came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crossdock.manage.actor import Actor
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.model.outcome import Json
from crossdock.model.time import Instant
from crossdock.store.audit import AuditEntry
from crossdock.store.people import StoredUser


@dataclass(frozen=True, slots=True)
class TellOfUser:
    """Makes the entries of a change that `actor` made. `administration` is the id of the workspace `default`."""

    actor: Actor
    administration: str
    now: Instant
    note: str = ""

    def __call__(self, before: StoredUser | None, after: StoredUser | None, /) -> Sequence[AuditEntry]:
        known = after or before
        assert known is not None
        subject = Subject(known.row.id, known.row.login)
        return [*self._of_user(subject, before, after), *self._of_memberships(subject, before, after)]

    def of_deed(self, action: str, stored: StoredUser, after: Json = None) -> AuditEntry:
        """Something that was done to a user and is no field: a link was made, a password was set."""
        return self._entry(action, Subject(stored.row.id, stored.row.login), None, after)

    def _of_user(self, subject: Subject, before: StoredUser | None, after: StoredUser | None) -> Iterator[AuditEntry]:
        was, became = _fields(before), _fields(after)
        if was is None:
            yield self._entry("user.created", subject, None, became)
        elif became is None:
            yield self._entry("user.deleted", subject, was, None)
        elif was != became:
            changed = [name for name in was if was[name] != became[name]]
            yield self._entry(
                "user.changed", subject, {name: was[name] for name in changed}, {name: became[name] for name in changed}
            )

    def _of_memberships(
        self, subject: Subject, before: StoredUser | None, after: StoredUser | None
    ) -> Iterator[AuditEntry]:
        was = {one.workspace_id: one.role for one in before.memberships} if before else {}
        became = {one.workspace_id: one.role for one in after.memberships} if after else {}
        for workspace_id in sorted({*was, *became}):
            old, new = was.get(workspace_id), became.get(workspace_id)
            if old == new:
                continue
            action = "member.added" if old is None else "member.removed" if new is None else "member.changed"
            roles = [None if role is None else {"role": role} for role in (old, new)]
            yield self._entry(action, subject, roles[0], roles[1], workspace_id)

    def _entry(
        self, action: str, subject: Subject, before: Json, after: Json, workspace_id: str | None = None
    ) -> AuditEntry:
        return entry_of(
            self.actor,
            action,
            subject,
            now=self.now,
            before=before,
            after=after,
            note=self.note,
            workspace_id=workspace_id or self.administration,
        )


def _fields(stored: StoredUser | None) -> dict[str, Json] | None:
    if stored is None:
        return None
    return {"login": stored.row.login, "name": stored.row.name, "disabled": stored.row.disabled}
