"""Users: listed, made, changed, deleted, given links; and who is a member of a workspace.

Administrators, the admins of the workspace `default`, may do all of it. Admins of another workspace see its members,
and decide who is one and with which role; they can neither make users nor see what else these are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crossdock.clock import Clock, new_id
from crossdock.manage.actor import Actor
from crossdock.manage.administration import is_administrator, require_administrator
from crossdock.manage.logins import normalise_login
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import invalid
from crossdock.manage.sessions import Sessions
from crossdock.manage.user_documents import (
    USER_READ_ONLY,
    Member,
    NewUser,
    UserPart,
    parsed,
    user_document,
)
from crossdock.manage.user_entries import TellOfUser
from crossdock.model.errors import FieldError, Forbidden, NotFound
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant
from crossdock.store.audit import AuditEntry, audited
from crossdock.store.beside import Records
from crossdock.store.configuration import workspaces
from crossdock.store.people import (
    LoginTaken,
    StoredUser,
    UserChange,
    UserRow,
    administration_id,
    change_user,
    make_user,
    remove_user,
    set_password,
    user_by_id,
    user_by_login,
    users_page,
)
from crossdock.store.sessions import end_sessions_of

SUBJECT = "the user"


@dataclass(frozen=True, slots=True)
class UserPorts:
    """What managing users works with. `site` is the address of this server, for links."""

    store: Records
    sessions: Sessions
    now: Clock
    site: str


class Users:
    """The use cases around users."""

    def __init__(self, ports: UserPorts) -> None:
        self._ports = ports

    # --- users ---------------------------------------------------------------------------------------------------

    async def me(self, actor: Actor) -> Json:
        """Who asks, and what that may do."""
        known = {
            "id": actor.id,
            "name": actor.name,
            "workspace": actor.workspace,
            "role": actor.role,
            "administrator": is_administrator(actor),
        }
        stored = await self._ports.store.read(user_by_id, actor.id) if actor.id.startswith("usr_") else None
        return {**known, "user": None if stored is None else user_document(stored)}

    async def page(self, actor: Actor, *, q: str = "", limit: int | None = None, cursor: str | None = None) -> Page:
        """Users by login: administrators see all of them, other admins the members of their workspace. `q` is looked
        for in logins and names."""
        actor.require("admin")
        only = None if is_administrator(actor) else actor.workspace_id
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._ports.store.read(
            users_page, workspace_id=only, search=q.strip(), after_login=after, limit=size + 1
        )
        return cut_page(rows, size, lambda one: one.row.login, lambda one: user_document(one, only))

    async def show(self, actor: Actor, user_id: str) -> Json:
        """One user; NotFound for those whom the actor can't see, too."""
        return _document(actor, await self._visible(actor, user_id))

    async def create(self, actor: Actor, document: Json) -> Json:
        """A new user, with `link` to set a password by; it is told this once."""
        require_administrator(actor)
        wanted = parsed(NewUser, document, SUBJECT)
        roles = await self._roles(actor, wanted.memberships)
        now = self._ports.now()
        row = UserRow(new_id("usr"), wanted.login, wanted.name or wanted.login, now, now)
        given = {workspace_id: role for workspace_id, role in roles.items() if role is not None}
        made = await self._ports.store.write(make_user, row, given, await self._tell(actor))
        if isinstance(made, LoginTaken):
            raise invalid(SUBJECT, (FieldError("login", f"is taken by another user: {row.login}"),))
        return {**user_document(made), "link": await self._link(made)}

    async def change(self, actor: Actor, user_id: str, patch: Json) -> Json:
        """Merge a patch (RFC 7396). Conflict when nobody could administer the installation any more."""
        stored = await self._visible(actor, user_id)
        wanted = parsed(UserPart, patch, SUBJECT, USER_READ_ONLY)
        if wanted.name is not None or wanted.disabled is not None:
            require_administrator(actor)
        roles = await self._roles(actor, wanted.memberships)
        change = UserChange(self._ports.now(), wanted.name, wanted.disabled, roles)
        return await self._change(actor, stored, change)

    async def delete(self, actor: Actor, user_id: str) -> None:
        """Delete a user, who is signed out at once. Conflict when nobody could administer any more."""
        require_administrator(actor)
        if not await self._ports.store.write(remove_user, user_id, await self._tell(actor)):
            raise _not_found(user_id)

    async def link(self, actor: Actor, user_id: str) -> Json:
        """A new one-time link, by which the user sets a password; its text is told this once, those before it are of no
        use any more. Whoever has it can be that user: administrators alone make links."""
        require_administrator(actor)
        stored = await self._visible(actor, user_id)
        if stored.row.disabled:
            raise invalid(SUBJECT, (FieldError("disabled", "is true: enable the user first"),))
        tell = await self._tell(actor)
        return await self._link(
            stored, lambda end: tell.of_deed("user.link_made", stored, {"expires_at": format_instant(end)})
        )

    # --- for whoever works on the machine itself ---------------------------------------------------------------------

    async def link_for(self, actor: Actor, login: str) -> Json:
        """As `link`, for a login."""
        return await self.link(actor, (await self._by_login(login)).row.id)

    async def set_password(self, actor: Actor, login: str, password: str) -> Json:
        """Set a password for a user, who is signed out everywhere; no route and no page does this."""
        require_administrator(actor)
        stored = await self._by_login(login)
        hashed = await self._ports.sessions.hash_for(stored.row, password)
        entry = (await self._tell(actor)).of_deed("user.password_set", stored, {"by": actor.name})
        change = audited(set_password, lambda _: entry)
        await self._ports.store.write(change, stored.row.id, hashed, self._ports.now())
        return await self.show(actor, stored.row.id)

    # --- members of a workspace ----------------------------------------------------------------------------------

    async def set_member(self, actor: Actor, slug: str, login: str, document: Json) -> Json:
        """Let a user who exists be a member with a role; the user as the actor sees it then."""
        role = parsed(Member, document, "the member").role
        roles = await self._roles(actor, {slug: role})
        stored = await self._by_login(login)
        return await self._change(actor, stored, UserChange(self._ports.now(), roles=roles))

    async def remove_member(self, actor: Actor, slug: str, login: str) -> None:
        """Let a user be no member any more; NotFound when there is no such member."""
        roles = await self._roles(actor, {slug: None})
        stored = await self._by_login(login)
        if all(stored.role_in(workspace_id) is None for workspace_id in roles):
            raise _not_found(login)
        await self._change(actor, stored, UserChange(self._ports.now(), roles=roles))

    # --- sessions of users ---------------------------------------------------------------------------------------

    async def sessions(
        self, actor: Actor, user_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """Where a user is signed in, the newest first."""
        require_administrator(actor)
        await self._visible(actor, user_id)
        return await self._ports.sessions.page_of(user_id, limit=limit, cursor=cursor)

    async def end_session(self, actor: Actor, user_id: str, session_id: str) -> None:
        """Sign a user out in one browser."""
        require_administrator(actor)
        stored = await self._visible(actor, user_id)
        told = (await self._tell(actor)).of_deed("user.session_ended", stored)
        await self._ports.sessions.end_of(user_id, session_id, told)

    async def end_sessions(self, actor: Actor, user_id: str) -> None:
        """Sign a user out everywhere."""
        require_administrator(actor)
        stored = await self._visible(actor, user_id)
        entry = (await self._tell(actor)).of_deed("user.signed_out", stored)
        await self._ports.store.write(end_sessions_of, user_id, entry)

    # --- steps ---------------------------------------------------------------------------------------------------

    async def _visible(self, actor: Actor, user_id: str) -> StoredUser:
        actor.require("admin")
        stored = await self._ports.store.read(user_by_id, user_id)
        if stored is None or not (is_administrator(actor) or stored.role_in(actor.workspace_id)):
            raise _not_found(user_id)
        return stored

    async def _by_login(self, login: str) -> StoredUser:
        stored = await self._ports.store.read(user_by_login, normalise_login(login))
        if stored is None:
            raise _not_found(login)
        return stored

    async def _roles(self, actor: Actor, wanted: Mapping[str, str | None]) -> dict[str, str | None]:
        """Roles by the ids of workspaces; Forbidden for a workspace of others, whether or not there is one."""
        actor.require("admin")
        if not is_administrator(actor):
            if any(slug != actor.workspace for slug in wanted):
                raise Forbidden(f"{actor.name} decides about members of the workspace {actor.workspace} only")
            return {actor.workspace_id: wanted[actor.workspace]} if wanted else {}
        known = await self._ports.store.read(workspaces)
        unknown = [slug for slug in wanted if slug not in known]
        if unknown:
            errors = [
                FieldError(f"memberships.{slug[:100]}", "is no workspace of this installation") for slug in unknown
            ]
            raise invalid(SUBJECT, errors)
        return {known[slug]: role for slug, role in wanted.items()}

    async def _change(self, actor: Actor, stored: StoredUser, change: UserChange) -> Json:
        after = await self._ports.store.write(change_user, stored.row.id, change, await self._tell(actor))
        if after is None:
            raise _not_found(stored.row.id)
        return _document(actor, after)

    async def _link(
        self, stored: StoredUser, tell: Callable[[Instant], AuditEntry | None] = lambda _: None
    ) -> dict[str, Json]:
        path, end = await self._ports.sessions.link_for(stored, tell)
        return {"url": f"{self._ports.site}{path}", "expires_at": format_instant(end)}

    async def _tell(self, actor: Actor) -> TellOfUser:
        return TellOfUser(actor, await self._ports.store.read(administration_id), self._ports.now())


def _document(actor: Actor, stored: StoredUser) -> Json:
    return user_document(stored, None if is_administrator(actor) else actor.workspace_id)


def _not_found(user: str) -> NotFound:
    return NotFound(f"there is no user {user[:100]} here")
