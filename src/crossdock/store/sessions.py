"""Signed-in browsers and one-time sign-in links: their SHA-256 and their ends, never their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from crossdock.model.time import Instant
from crossdock.store.audit import AuditEntry, record
from crossdock.store.people import (
    LoginTaken,
    StoredUser,
    Tell,
    UserRow,
    anybody_can_sign_in,
    hold_administration,
    lock_user,
    make_user,
    set_password,
    sign_out_everywhere,
    user_by_id,
)
from crossdock.store.schema import session, user

LINK = "link"
BROWSER = "user"
"""Not `browser`, as it was called when sessions had no users: programs of that time would take it for an admin's."""

# --- users ---------------------------------------------------------------------------------------------------------

MOST_SESSIONS = 100
"""Of one user: beyond these the one that was begun first ends."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A signed-in browser of a user, as it is told."""

    id: str
    user_id: str
    created_at: Instant
    expires_at: Instant
    last_seen_at: Instant
    agent: str
    source_ip: str


@dataclass(frozen=True, slots=True)
class Recognised:
    """Whose session it is, with what the user may do. `shown_first` is the id of a workspace."""

    session: SessionRow
    user: StoredUser
    shown_first: str


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link that could be used now. `user` is None for the first user of all."""

    user: UserRow | None
    workspace_id: str


def open_session(connection: Connection, digest: bytes, row: SessionRow, *, password_hash: str | None = None) -> bool:
    """Begin a session; False when the user may not sign in any more, or with `password_hash` has another one now."""
    stored = lock_user(connection, row.user_id)
    if stored is None or not stored.row.can_sign_in or not stored.memberships:
        return False
    if password_hash is not None and stored.row.password_hash != password_hash:
        return False
    _begin(connection, digest, row, stored.memberships[0].workspace_id)
    return True


def recognise(connection: Connection, digest: bytes, now: Instant, seen_after: Instant) -> Recognised | None:
    """Whose session has this hash; None when it has ended, was not used since `seen_after`, or its user may do nothing
    any more."""
    query = select(session).where(
        session.c.hash == digest,
        session.c.kind == BROWSER,
        session.c.expires_at > now,
        session.c.last_seen_at > seen_after,
    )
    row = connection.execute(query).first()
    stored = user_by_id(connection, row.user_id) if row is not None and row.user_id is not None else None
    if row is None or stored is None or stored.row.disabled or not stored.memberships:
        return None
    return Recognised(_session(row), stored, row.workspace_id)


def record_seen(connection: Connection, seen: Mapping[str, Instant]) -> None:
    """Keep when sessions were last used."""
    for session_id, at in sorted(seen.items()):
        connection.execute(update(session).where(session.c.id == session_id).values(last_seen_at=at))


def sessions_page(
    connection: Connection, user_id: str, now: Instant, seen_after: Instant, *, after_id: str | None, limit: int
) -> list[SessionRow]:
    """The sessions of a user that have not ended, the newest first, those after `after_id`."""
    query = select(session).where(
        session.c.user_id == user_id,
        session.c.kind == BROWSER,
        session.c.expires_at > now,
        session.c.last_seen_at > seen_after,
    )
    if after_id is not None:
        query = query.where(session.c.id < after_id)
    return [_session(row) for row in connection.execute(query.order_by(session.c.id.desc()).limit(limit))]


def end_session(connection: Connection, digest: bytes) -> None:
    connection.execute(delete(session).where(session.c.hash == digest, session.c.kind == BROWSER))


def end_session_of(connection: Connection, user_id: str, session_id: str) -> bool:
    """End a session of a user; False when there is none of this id."""
    is_it = (session.c.user_id == user_id, session.c.id == session_id, session.c.kind == BROWSER)
    return connection.execute(delete(session).where(*is_it)).rowcount == 1


def end_sessions_of(connection: Connection, user_id: str, *entries: AuditEntry) -> None:
    """End all sessions and links of a user, and tell of it."""
    sign_out_everywhere(connection, user_id)
    record(connection, *entries)


def forget_sessions(connection: Connection, now: Instant, seen_after: Instant) -> int:
    """Delete sessions and links that are over; how many."""
    is_over = or_(session.c.expires_at <= now, session.c.last_seen_at <= seen_after)
    return connection.execute(delete(session).where(is_over)).rowcount


# --- links ---------------------------------------------------------------------------------------------------------


def add_first_link(connection: Connection, digest: bytes, now: Instant, expires_at: Instant) -> None:
    """Keep a new link for the first user of all."""
    values = {"hash": digest, "kind": LINK, "created_at": now, "expires_at": expires_at}
    connection.execute(insert(session).values(workspace_id=hold_administration(connection), **values))


def add_user_link(connection: Connection, digest: bytes, stored: StoredUser, now: Instant, expires_at: Instant) -> bool:
    """Keep a new link of a user; those that were made before are of no use any more. False when the user is gone."""
    held = lock_user(connection, stored.row.id)
    if held is None or held.row.disabled != stored.row.disabled:
        return False
    connection.execute(delete(session).where(session.c.user_id == stored.row.id, session.c.kind == LINK))
    workspace_id = stored.memberships[0].workspace_id if stored.memberships else hold_administration(connection)
    values = {"hash": digest, "kind": LINK, "created_at": now, "expires_at": expires_at}
    connection.execute(insert(session).values(workspace_id=workspace_id, user_id=stored.row.id, **values))
    return True


def good_link(connection: Connection, digest: bytes, now: Instant) -> Link | None:
    """What a link is for that could be used now. Looking does not use it up."""
    row = connection.execute(
        select(session).where(session.c.hash == digest, session.c.kind == LINK, session.c.expires_at > now)
    ).first()
    if row is None:
        return None
    if row.user_id is None:
        return None if anybody_can_sign_in(connection) else Link(None, row.workspace_id)
    stored = user_by_id(connection, row.user_id)
    return None if stored is None or stored.row.disabled else Link(stored.row, row.workspace_id)


def use_first_link(
    connection: Connection, link: bytes, row: UserRow, digest: bytes, opened: SessionRow, tell: Tell
) -> bool | LoginTaken:
    """Use up a link of the start for the first user, an admin of the workspace `default`, and begin a session of
    theirs; False when somebody was faster, or the link is over. All other such links are of no use then."""
    workspace_id = hold_administration(connection)
    if good_link(connection, link, row.created_at) is None:
        return False
    if isinstance(make_user(connection, row, {workspace_id: "admin"}, tell), LoginTaken):
        return LoginTaken()
    connection.execute(delete(session).where(session.c.user_id.is_(None), session.c.kind == LINK))
    _begin(connection, digest, opened, workspace_id)
    return True


def use_user_link(
    connection: Connection, link: bytes, password_hash: str, digest: bytes, opened: SessionRow, entry: AuditEntry
) -> bool:
    """Use up a link of a user for a new password, and begin a session of theirs; False when the link is over, or
    somebody was faster. All other sessions of the user end."""
    now = opened.created_at
    found = good_link(connection, link, now)
    if found is None or found.user is None or found.user.id != opened.user_id or not _use_up(connection, link):
        return False
    lock_user(connection, opened.user_id)
    set_password(connection, opened.user_id, password_hash, now)
    record(connection, entry)
    _begin(connection, digest, opened, found.workspace_id)
    return True


def _use_up(connection: Connection, link: bytes) -> bool:
    used = delete(session).where(session.c.hash == link, session.c.kind == LINK)
    return connection.execute(used).rowcount == 1  # 0: another node was faster


def _begin(connection: Connection, digest: bytes, row: SessionRow, workspace_id: str) -> None:
    """Add a session of a user, who is locked or new; make room for it."""
    newest = (
        select(session.c.id)
        .where(session.c.user_id == row.user_id, session.c.kind == BROWSER)
        .order_by(session.c.id.desc())
    )
    kept = list(connection.execute(newest.limit(MOST_SESSIONS - 1)).scalars())
    too_many = (session.c.user_id == row.user_id, session.c.kind == BROWSER, session.c.id.not_in(kept))
    connection.execute(delete(session).where(*too_many))
    values = {column: getattr(row, column) for column in SessionRow.__slots__}
    connection.execute(insert(session).values(hash=digest, kind=BROWSER, workspace_id=workspace_id, **values))
    connection.execute(update(user).where(user.c.id == row.user_id).values(last_signed_in_at=row.created_at))


def _session(row: Any) -> SessionRow:
    return SessionRow(
        row.id, row.user_id, row.created_at, row.expires_at, row.last_seen_at, row.agent or "", row.source_ip or ""
    )
