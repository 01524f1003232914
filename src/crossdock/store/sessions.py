"""Signed-in browsers and one-time sign-in links: their SHA-256 and their ends, never their text."""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete, insert, select

from crossdock.model.time import Instant
from crossdock.store.schema import session, workspace

LINK = "link"
BROWSER = "browser"


def add_link(connection: Connection, digest: bytes, workspace_id: str, now: Instant, expires_at: Instant) -> None:
    """Keep a new sign-in link."""
    _add(connection, LINK, digest, workspace_id, now, expires_at)


def link_is_good(connection: Connection, digest: bytes, now: Instant) -> bool:
    """Whether a link could be used now. Looking does not use it up."""
    return connection.execute(_live(LINK, digest, now)).first() is not None


def trade_link(connection: Connection, link: bytes, browser: bytes, now: Instant, expires_at: Instant) -> bool:
    """Use up a link for a session whose hash is `browser`; False when it was used before or is over."""
    row = connection.execute(_live(LINK, link, now)).first()
    if row is None:
        return False
    _forget_expired(connection, now)
    used = delete(session).where(session.c.hash == link, session.c.kind == LINK)
    if connection.execute(used).rowcount != 1:
        return False  # another node was faster
    _add(connection, BROWSER, browser, row.workspace_id, now, expires_at)
    return True


def signed_in(connection: Connection, digest: bytes, now: Instant) -> tuple[str, str] | None:
    """The workspace (id, slug) of a session that has not ended; None otherwise."""
    row = connection.execute(_live(BROWSER, digest, now)).first()
    return None if row is None else (row.workspace_id, row.slug)


def add_session(connection: Connection, digest: bytes, workspace_id: str, now: Instant, expires_at: Instant) -> None:
    """Keep a session for somebody who was recognised in another way."""
    _forget_expired(connection, now)
    _add(connection, BROWSER, digest, workspace_id, now, expires_at)


def end_session(connection: Connection, digest: bytes) -> None:
    connection.execute(delete(session).where(session.c.hash == digest, session.c.kind == BROWSER))


def anybody_signed_in(connection: Connection) -> bool:
    """Whether there ever was a session: before that, each start offers a link."""
    return connection.execute(select(session.c.hash).where(session.c.kind == BROWSER).limit(1)).first() is not None


def _live(kind: str, digest: bytes, now: Instant) -> Select[tuple[str, str]]:
    return (
        select(session.c.workspace_id, workspace.c.slug)
        .join(workspace, workspace.c.id == session.c.workspace_id)
        .where(session.c.hash == digest, session.c.kind == kind, session.c.expires_at > now)
    )


def _add(
    connection: Connection, kind: str, digest: bytes, workspace_id: str, now: Instant, expires_at: Instant
) -> None:
    values = {
        "hash": digest,
        "kind": kind,
        "workspace_id": workspace_id,
        "created_at": now,
        "expires_at": expires_at,
    }
    connection.execute(insert(session).values(values))


def _forget_expired(connection: Connection, now: Instant) -> None:
    connection.execute(delete(session).where(session.c.expires_at <= now))
