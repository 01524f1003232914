"""Users as rows, and what they may do in which workspace.

Somebody who can sign in administers the installation at any time: whoever takes that from a user asks the question in
the transaction of the change, which holds the workspace `default` first (`kept_administered`). So two changes on
whichever nodes can't take it from the last two at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Row, Select, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from crossdock.model.errors import Conflict
from crossdock.model.time import Instant
from crossdock.store.audit import AuditEntry, record
from crossdock.store.schema import membership, session, user, workspace

ADMINISTRATION = "default"
"""Whoever is an admin of the workspace with this slug administers the whole installation."""


class Membership(NamedTuple):
    """What a user may do in a workspace. `slug` and `name` are the workspace's."""

    workspace_id: str
    slug: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user without memberships. `login` is in lower case."""

    id: str
    login: str
    name: str
    created_at: Instant
    updated_at: Instant
    password_hash: str | None = None
    disabled: bool = False
    issuer: str | None = None
    subject: str | None = None
    last_signed_in_at: Instant | None = None

    def __repr__(self) -> str:
        return f"UserRow({self.id}, {self.login})"  # without the hash of the password

    @property
    def can_sign_in(self) -> bool:
        """With a password, or vouched for by a provider."""
        return not self.disabled and (self.password_hash is not None or self.issuer is not None)


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user with all memberships, by slug."""

    row: UserRow
    memberships: tuple[Membership, ...] = ()

    def role_in(self, workspace_id: str) -> str | None:
        """The role in a workspace; None for no member."""
        return next((one.role for one in self.memberships if one.workspace_id == workspace_id), None)


class LoginTaken:
    """Another user has the login."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """What a change sets. None leaves a field as it is; `roles` are by the ids of workspaces, None takes one away."""

    now: Instant
    name: str | None = None
    disabled: bool | None = None
    roles: Mapping[str, str | None] = field(default_factory=dict)


class Tell(Protocol):
    """Makes the entries of the audit log for a user who is another one now; None where there was, or is, no user."""

    def __call__(self, before: StoredUser | None, after: StoredUser | None, /) -> Sequence[AuditEntry]: ...


# --- reading -------------------------------------------------------------------------------------------------------


def user_by_id(connection: Connection, user_id: str) -> StoredUser | None:
    return next(iter(_with_memberships(connection, select(user).where(user.c.id == user_id))), None)


def user_by_login(connection: Connection, login: str) -> StoredUser | None:
    return next(iter(_with_memberships(connection, select(user).where(user.c.login == login))), None)


def user_by_identity(connection: Connection, issuer: str, subject: str) -> StoredUser | None:
    """The user for whom a provider vouches under this name."""
    query = select(user).where(user.c.issuer == issuer, user.c.subject == subject)
    return next(iter(_with_memberships(connection, query)), None)


def users_page(
    connection: Connection,
    *,
    workspace_id: str | None = None,
    search: str = "",
    after_login: str | None = None,
    limit: int,
) -> list[StoredUser]:
    """Users by login, those after `after_login`: all, or the members of a workspace. `search` is looked for in logins
    and names, upper and lower case alike."""
    query = select(user).order_by(user.c.login).limit(limit)
    if workspace_id is not None:
        query = query.join(membership, membership.c.user_id == user.c.id).where(
            membership.c.workspace_id == workspace_id
        )
    if search:
        found = (column.icontains(search, autoescape=True) for column in (user.c.login, user.c.name))
        query = query.where(or_(*found))
    if after_login is not None:
        query = query.where(user.c.login > after_login)
    return _with_memberships(connection, query)


CAN_SIGN_IN = (
    user.c.disabled.is_(False),
    or_(user.c.password_hash.is_not(None), user.c.issuer.is_not(None)),
)


def anybody_can_sign_in(connection: Connection) -> bool:
    """Whether there is a user with a password or a provider: before that, each start offers a link."""
    return connection.execute(select(user.c.id).where(*CAN_SIGN_IN).limit(1)).first() is not None


def is_administered(connection: Connection) -> bool:
    """Whether somebody who can sign in administers the installation."""
    admins = (
        select(user.c.id)
        .join(membership, membership.c.user_id == user.c.id)
        .join(workspace, workspace.c.id == membership.c.workspace_id)
        .where(*CAN_SIGN_IN, workspace.c.slug == ADMINISTRATION, membership.c.role == "admin")
    )
    return connection.execute(admins.limit(1)).first() is not None


# --- changing ------------------------------------------------------------------------------------------------------


def administration_id(connection: Connection) -> str:
    """The id of the workspace `default`."""
    return str(connection.execute(_ADMINISTRATION).scalar_one())


def hold_administration(connection: Connection) -> str:
    """Let nobody else change who administers until the transaction ends; the id of the workspace `default`."""
    # Differs: PostgreSQL locks the row; SQLite has one writer at a time
    return str(connection.execute(_ADMINISTRATION.with_for_update()).scalar_one())


_ADMINISTRATION = select(workspace.c.id).where(workspace.c.slug == ADMINISTRATION)


@contextmanager
def kept_administered(connection: Connection) -> Iterator[None]:
    """A change of users; Conflict when nobody who can sign in would be an administrator any more."""
    hold_administration(connection)
    was_administered = is_administered(connection)
    yield
    if was_administered and not is_administered(connection):
        raise Conflict(
            "nobody could administer this installation any more; make somebody else who can sign in an admin of the "
            f"workspace {ADMINISTRATION} first"
        )


def make_user(connection: Connection, row: UserRow, roles: Mapping[str, str], tell: Tell) -> StoredUser | LoginTaken:
    """Keep a new user with roles by the ids of workspaces."""
    if not add_user(connection, row):
        return LoginTaken()
    for workspace_id, role in sorted(roles.items()):
        set_role(connection, row.id, workspace_id, role)
    made = _known(connection, row.id)
    record(connection, *tell(None, made))
    return made


def change_user(connection: Connection, user_id: str, change: UserChange, tell: Tell) -> StoredUser | None:
    """Change a user; None when there is none of this id. Conflict as `kept_administered` says."""
    with kept_administered(connection):
        before = lock_user(connection, user_id)
        if before is None:
            return None
        name = before.row.name if change.name is None else change.name
        disabled = before.row.disabled if change.disabled is None else change.disabled
        if (name, disabled) != (before.row.name, before.row.disabled):
            save_user(connection, replace(before.row, name=name, disabled=disabled, updated_at=change.now))
        for workspace_id, role in sorted(change.roles.items()):
            set_role(connection, user_id, workspace_id, role)
    after = _known(connection, user_id)
    record(connection, *tell(before, after))
    return after


def remove_user(connection: Connection, user_id: str, tell: Tell) -> bool:
    """Forget a user with memberships and sessions; False when there is none. Conflict as `kept_administered` says."""
    with kept_administered(connection):
        before = lock_user(connection, user_id)
        if before is None:
            return False
        connection.execute(delete(user).where(user.c.id == user_id))
    record(connection, *tell(before, None))
    return True


def add_user(connection: Connection, row: UserRow) -> bool:
    """Keep a new user; False when the login is taken."""
    if connection.execute(select(user.c.id).where(user.c.login == row.login)).first() is not None:
        return False
    try:
        connection.execute(insert(user).values(_values(row)))
    except IntegrityError:
        raise Conflict("somebody took the same login in the same moment; read the list and try again") from None
    return True


def lock_user(connection: Connection, user_id: str) -> StoredUser | None:
    """The user; nobody else changes the row until the transaction ends."""
    return next(iter(_with_memberships(connection, select(user).where(user.c.id == user_id).with_for_update())), None)


def save_user(connection: Connection, row: UserRow) -> None:
    """Write the row of a user who was locked before. A user who is disabled is signed out everywhere."""
    connection.execute(update(user).where(user.c.id == row.id).values(_values(row)))
    if row.disabled:
        sign_out_everywhere(connection, row.id)


def set_role(connection: Connection, user_id: str, workspace_id: str, role: str | None) -> None:
    """Make a user a member with a role, or no member with None; whoever is no member of any is signed out."""
    if role is not None:
        make = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
        statement = make(membership).values(user_id=user_id, workspace_id=workspace_id, role=role)
        statement = statement.on_conflict_do_update(index_elements=["user_id", "workspace_id"], set_={"role": role})
        try:
            connection.execute(statement)
        except IntegrityError:
            raise Conflict("the workspace was deleted in the same moment; read the workspaces again") from None
        return
    connection.execute(
        delete(membership).where(membership.c.user_id == user_id, membership.c.workspace_id == workspace_id)
    )
    if connection.execute(select(membership.c.role).where(membership.c.user_id == user_id)).first() is None:
        sign_out_everywhere(connection, user_id)


def set_password(connection: Connection, user_id: str, password_hash: str, now: Instant) -> None:
    """Write the password's hash; all sessions and links of the user end."""
    changed = update(user).where(user.c.id == user_id).values(password_hash=password_hash, updated_at=now)
    connection.execute(changed)
    sign_out_everywhere(connection, user_id)


def set_own_password(connection: Connection, user_id: str, old: str, new: str, now: Instant, session_id: str) -> bool:
    """Write a new hash in place of the old one; False when it is another one meanwhile. All sessions and links of the
    user end, but the session with this id."""
    changed = update(user).where(user.c.id == user_id, user.c.password_hash == old)
    if connection.execute(changed.values(password_hash=new, updated_at=now)).rowcount != 1:
        return False
    sign_out_everywhere(connection, user_id, except_id=session_id)
    return True


def renew_hash(connection: Connection, user_id: str, old: str, new: str) -> None:
    """Write the same password in a newer hash, unless it was changed meanwhile."""
    connection.execute(update(user).where(user.c.id == user_id, user.c.password_hash == old).values(password_hash=new))


def sign_out_everywhere(connection: Connection, user_id: str, *, except_id: str | None = None) -> int:
    """End the sessions and links of a user, but the one with an id; how many."""
    statement = delete(session).where(session.c.user_id == user_id)
    if except_id is not None:
        statement = statement.where(or_(session.c.id.is_(None), session.c.id != except_id))
    return connection.execute(statement).rowcount


def link_identity(connection: Connection, user_id: str, issuer: str, subject: str, now: Instant) -> bool:
    """Let a provider vouch for a user; False when it does already, under another name or for somebody else."""
    stored = lock_user(connection, user_id)
    if stored is None or stored.row.issuer is not None or user_by_identity(connection, issuer, subject) is not None:
        return False
    changed = update(user).where(user.c.id == user_id)
    connection.execute(changed.values(issuer=issuer, subject=subject, updated_at=now))
    return True


# --- rows ----------------------------------------------------------------------------------------------------------


def _with_memberships(connection: Connection, query: Select[Any]) -> list[StoredUser]:
    rows = [_row(row) for row in connection.execute(query)]
    found = memberships_of(connection, [row.id for row in rows])
    return [StoredUser(row, found[row.id]) for row in rows]


def memberships_of(connection: Connection, user_ids: Sequence[str]) -> dict[str, tuple[Membership, ...]]:
    """The memberships of users, each by slug."""
    query = (
        select(membership.c.user_id, membership.c.role, workspace.c.id, workspace.c.slug, workspace.c.name)
        .join(workspace, workspace.c.id == membership.c.workspace_id)
        .where(membership.c.user_id.in_(user_ids))
        .order_by(workspace.c.slug)
    )
    found: dict[str, list[Membership]] = defaultdict(list)
    for row in connection.execute(query) if user_ids else ():
        found[row.user_id].append(Membership(row.id, row.slug, row.name, row.role))
    return {user_id: tuple(found[user_id]) for user_id in user_ids}


def _known(connection: Connection, user_id: str) -> StoredUser:
    """A user whose row was written in this transaction."""
    return _with_memberships(connection, select(user).where(user.c.id == user_id))[0]


def _row(row: Row[Any]) -> UserRow:
    return UserRow(**row._mapping)


def _values(row: UserRow) -> dict[str, object]:
    return {column.name: getattr(row, column.name) for column in user.columns}
