"""Signing in: passwords and one-time links become sessions, sessions are recognised as people.

A session is a random text that the browser keeps; its SHA-256 is stored. It ends 12 hours after it was last used and a
week after it began, and at once when its user is disabled, deleted, or a member of no workspace any more. A link is
used up by what is sent with its form, never by opening it: mail scanners and prefetching browsers open links too.

Whoever tries to sign in is told the same after the same work, whatever was wrong. Tries that fail are counted by login
and by address, and make the next ones wait: up to five minutes, never for ever. Where the owner is signed in already,
tries are counted for that address alone, so that others who know the login do not keep its owner out there; from
elsewhere a one-time link of an administrator leads in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from ipaddress import ip_address, ip_network

from crossdock import observe
from crossdock.clock import Clock, new_id
from crossdock.manage.actor import ROLES, Actor
from crossdock.manage.logins import check_login, check_person, normalise_login
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.passwords import Passwords, check_password
from crossdock.manage.refusals import invalid
from crossdock.manage.user_entries import TellOfUser
from crossdock.model.errors import Conflict, FieldError, NotFound, StoreUnavailable, TooMany
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant, later, seconds_between
from crossdock.store.audit import AuditEntry, audited
from crossdock.store.beside import Records
from crossdock.store.people import (
    ADMINISTRATION,
    LoginTaken,
    Membership,
    StoredUser,
    UserRow,
    administration_id,
    anybody_can_sign_in,
    renew_hash,
    set_own_password,
    sign_out_everywhere,
    user_by_id,
    user_by_login,
)
from crossdock.store.sessions import (
    Link,
    SessionRow,
    add_first_link,
    add_user_link,
    end_session,
    end_session_of,
    forget_sessions,
    good_link,
    open_session,
    recognise,
    record_seen,
    sessions_page,
    use_first_link,
    use_user_link,
)
from crossdock.store.sign_in_failures import (
    Limit,
    count_try,
    forget_failures,
    forget_failures_of,
    is_signed_in_from,
    take_back,
)

IDLE_SECONDS = 12 * 3_600.0
"""A session that is not used for this long has ended."""
SESSION_SECONDS = 7 * 86_400.0
"""A session ends after this, however much it is used."""
SEEN_EVERY_SECONDS = 60.0
"""How exactly is kept when a session was last used."""

FIRST_LINK_SECONDS = 86_400.0
INVITATION_SECONDS = 3 * 86_400.0
"""Of a link for somebody who has no password yet."""
RESET_SECONDS = 3_600.0
"""Of a link for a new password in place of another one."""

FREE_BY_LOGIN = 5
FREE_BY_ADDRESS = 20
"""Failures that cost no waiting. Behind one address may be a whole office."""
LONGEST_WAIT_SECONDS = 300.0
FAILURES_KEPT_SECONDS = 86_400.0
FORGOTTEN_AT_ONCE = 500

AGENT_LENGTH = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody whose browser was recognised."""

    user_id: str
    login: str
    name: str
    session_id: str
    memberships: tuple[Membership, ...]
    """`(workspace_id, slug, name, role)` of each workspace, by slug; at least one."""
    shown_first: str
    """The slug of the workspace to begin with."""

    @property
    def is_administrator(self) -> bool:
        """Whether they may change users, workspaces and what else belongs to the whole installation."""
        return any(one.slug == ADMINISTRATION and one.role == "admin" for one in self.memberships)

    def actor(self, slug: str) -> Actor:
        """Who they are in a workspace; NotFound when they are no member, whether or not there is such a workspace."""
        for one in self.memberships:
            if one.slug == slug:
                role = next(role for role in ROLES if role == one.role)
                return Actor(self.login, one.workspace_id, one.slug, role, self.user_id)
        raise NotFound(f"there is no workspace {slug[:100]} here")


@dataclass(frozen=True, slots=True)
class Begun:
    """A session has begun. `text` is for the browser to keep, for so many seconds at most."""

    text: str
    seconds: float = SESSION_SECONDS

    def __repr__(self) -> str:
        return "Begun()"


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """Login and password do not fit, or that user can't sign in: which of it is told to nobody."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many tries failed: the next one is looked at after so many seconds."""

    retry_after_seconds: float


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a good link is for. Without a login: for the first user, who chooses name, login and password."""

    login: str | None
    name: str | None

    @property
    def is_first(self) -> bool:
        return self.login is None


class Sessions:
    """The use cases of whoever sits before a browser."""

    def __init__(self, store: Records, passwords: Passwords, now: Clock) -> None:
        self._store = store
        self._passwords = passwords
        self._now = now
        self._seen: dict[str, Instant] = {}

    # --- being recognised ----------------------------------------------------------------------------------------

    async def recognise(self, text: str) -> SignedIn | None:
        """Whose browser keeps this text; None when nobody's, or the session has ended."""
        now = self._now()
        found = await self._store.read(recognise, _digest(text), now, later(now, -IDLE_SECONDS))
        if found is None:
            return None
        if seconds_between(found.session.last_seen_at, now) >= SEEN_EVERY_SECONDS:
            self._seen[found.session.id] = now
        row, memberships = found.user.row, found.user.memberships
        first = next((one.slug for one in memberships if one.workspace_id == found.shown_first), memberships[0].slug)
        return SignedIn(row.id, row.login, row.name, found.session.id, memberships, first)

    async def record_seen(self) -> None:
        """Write down when sessions were last used; what can't be written now is kept for the next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await self._store.write(record_seen, seen)
        except StoreUnavailable:
            self._seen = {**seen, **self._seen}
            raise

    async def forget(self) -> None:
        """Delete sessions and links that are over, and failures that are too long ago to count."""
        now = self._now()
        await self._store.write(forget_sessions, now, later(now, -IDLE_SECONDS))
        before = later(now, -FAILURES_KEPT_SECONDS)
        while await self._store.write(forget_failures, before, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE:
            continue

    # --- signing in ----------------------------------------------------------------------------------------------

    async def sign_in(
        self, login: str, password: str, *, source_ip: str, agent: str = ""
    ) -> Begun | SignInRefused | Throttled:
        """A session for whoever knows login and password. TooMany when too many try at this moment."""
        login = normalise_login(login)
        limits = await self._limits(login, source_ip)
        wait = await self._store.write(count_try, limits, self._now())
        if wait:
            observe.emit(observe.SIGN_IN_THROTTLED, source_ip=source_ip, seconds=wait)
            return Throttled(wait)
        stored = await self._store.read(user_by_login, login)
        usable = stored is not None and stored.row.can_sign_in and bool(stored.memberships)
        password_hash = stored.row.password_hash if stored is not None and usable else None
        is_right = await self._matches(password_hash, password, limits)
        if not is_right or stored is None or password_hash is None:
            observe.emit(observe.SIGN_IN_REFUSED, source_ip=source_ip)  # no login: people type passwords into its field
            return SignInRefused()
        begun = await self._begin(stored.row.id, source_ip, agent, password_hash)
        if begun is None:
            return SignInRefused()
        await self._succeeded(limits)
        if self._passwords.is_outdated(password_hash):
            newer = await self._passwords.hash(password)
            await self._store.write(renew_hash, stored.row.id, password_hash, newer)
        return begun

    async def begin_for(self, user_id: str, *, source_ip: str, agent: str = "") -> Begun | None:
        """A session for somebody who was recognised in another way; None when that user may not sign in."""
        return await self._begin(user_id, source_ip, agent, None)

    async def sign_out(self, text: str) -> None:
        """End the session that this browser keeps."""
        await self._store.write(end_session, _digest(text))

    async def _begin(self, user_id: str, source_ip: str, agent: str, password_hash: str | None) -> Begun | None:
        text = secrets.token_urlsafe(32)
        row = self._session(user_id, source_ip, agent)
        landed = await self._store.write(open_session, _digest(text), row, password_hash=password_hash)
        return Begun(text) if landed else None

    def _session(self, user_id: str, source_ip: str, agent: str) -> SessionRow:
        now = self._now()
        shown = "".join(character if character.isprintable() else " " for character in agent[:AGENT_LENGTH])
        return SessionRow(new_id("ses"), user_id, now, later(now, SESSION_SECONDS), now, shown.strip(), source_ip)

    async def _limits(self, login: str, source_ip: str) -> Sequence[Limit]:
        """What makes tries wait for this login from this address, in the order of their subjects."""
        is_known = await self._store.read(is_signed_in_from, login, source_ip, self._now())
        tried = f"{login}\0{source_ip}" if is_known else login
        return (
            _limit("address", _network_of(source_ip), FREE_BY_ADDRESS),
            _limit("login", tried, FREE_BY_LOGIN),
        )

    async def _matches(self, password_hash: str | None, password: str, limits: Sequence[Limit]) -> bool:
        try:
            return await self._passwords.matches(password_hash, password)
        except TooMany:  # nobody looked at it
            await self._store.write(take_back, [limit.subject for limit in limits])
            raise

    async def _succeeded(self, limits: Sequence[Limit]) -> None:
        """The failures of the login are forgotten; those of the address are not, which others may have caused."""
        address, login = limits
        await self._store.write(take_back, [address.subject])
        await self._store.write(forget_failures_of, [login.subject])

    # --- one-time links ------------------------------------------------------------------------------------------

    async def first_sign_in_path(self) -> str | None:
        """The path of a new link for the first user; None once there is somebody who can sign in."""
        if await self._store.read(anybody_can_sign_in):
            return None
        text, now = secrets.token_urlsafe(32), self._now()
        await self._store.write(add_first_link, _digest(text), now, later(now, FIRST_LINK_SECONDS))
        return sign_in_path(text)

    async def link_for(
        self, stored: StoredUser, tell: Callable[[Instant], AuditEntry | None] = lambda _: None
    ) -> tuple[str, Instant]:
        """The path of a new link by which a user sets a password, and its end; those before it are of no use.

        `tell` makes the row of the audit log by the end, where there is to be one.
        """
        text, now = secrets.token_urlsafe(32), self._now()
        seconds = INVITATION_SECONDS if stored.row.password_hash is None else RESET_SECONDS
        end = later(now, seconds)
        keep = audited(add_user_link, lambda landed: tell(end) if landed else None)
        if not await self._store.write(keep, _digest(text), stored, now, end):
            raise Conflict("the user was disabled or deleted in the same moment; look at the users again")
        return sign_in_path(text), end

    async def purpose(self, link: str) -> Purpose | None:
        """What a link is for; None when it was used already, or is over. It is not used up by asking."""
        found = await self._good_link(link)
        if found is None:
            return None
        return Purpose(None, None) if found.user is None else Purpose(found.user.login, found.user.name)

    async def begin_with_link(
        self, link: str, *, password: str, login: str = "", name: str = "", source_ip: str, agent: str = ""
    ) -> Begun | None:
        """Use up a link: the password is set, and a session begins. None when the link is over or used; Invalid, and
        the link stays good, when a field is wrong. `login` and `name` are of the first user."""
        found = await self._good_link(link)
        if found is None:
            return None
        text = secrets.token_urlsafe(32)
        if found.user is not None:
            hashed = await self.hash_for(found.user, password)
            row = self._session(found.user.id, source_ip, agent)
            tell = await self._tell(found.user)
            entry = tell.of_deed("user.password_set", StoredUser(found.user), {"by": "a one-time link"})
            landed = await self._store.write(use_user_link, _digest(link), hashed, _digest(text), row, entry)
            return Begun(text) if landed else None
        user, checked = self._first_user(login, name, password)
        user = replace(user, password_hash=await self._passwords.hash(checked))
        row = self._session(user.id, source_ip, agent)
        tell = await self._tell(user)
        answer = await self._store.write(use_first_link, _digest(link), user, _digest(text), row, tell)
        if isinstance(answer, LoginTaken):
            raise invalid("the user", (FieldError("login", f"is taken; `crossdock user passwd {user.login}` helps"),))
        return Begun(text) if answer else None

    async def _good_link(self, link: str) -> Link | None:
        return await self._store.read(good_link, _digest(link), self._now())

    async def _tell(self, user: UserRow) -> TellOfUser:
        """For the audit log of what a user does to the own account."""
        place = await self._store.read(administration_id)
        return TellOfUser(Actor(user.login, place, ADMINISTRATION, "viewer", user.id), place, self._now())

    def _first_user(self, login: str, name: str, password: str) -> tuple[UserRow, str]:
        """The first user as the form tells, and the checked password."""
        errors: list[FieldError] = []
        checked = []
        for field, check, text in (("login", check_login, login), ("name", check_person, name or login)):
            try:
                checked.append(check(text))
            except ValueError as error:
                errors.append(FieldError(field, str(error)))
        try:
            good = check_password(password, login, name)
        except ValueError as error:
            errors.append(FieldError("password", str(error)))
        if errors:
            raise invalid("the user", errors)
        now = self._now()
        return UserRow(new_id("usr"), checked[0], checked[1], now, now), good

    # --- one's own account ---------------------------------------------------------------------------------------

    async def change_password(
        self, who: SignedIn, current: str, new: str, *, source_ip: str
    ) -> SignInRefused | Throttled | None:
        """Set a new password for oneself; all other sessions end. None when it is done; Invalid when the new one is
        not good enough."""
        limits = await self._limits(who.login, source_ip)
        wait = await self._store.write(count_try, limits, self._now())
        if wait:
            return Throttled(wait)
        stored = await self._store.read(user_by_id, who.user_id)
        before = stored.row.password_hash if stored is not None else None
        is_right = await self._matches(before, current, limits)
        if stored is None or before is None or not is_right:
            return SignInRefused()
        await self._succeeded(limits)
        hashed = await self.hash_for(stored.row, new)
        entry = (await self._tell(stored.row)).of_deed("user.password_set", stored, {"by": "the user"})
        change = audited(set_own_password, lambda landed: entry if landed else None)
        done = await self._store.write(change, who.user_id, before, hashed, self._now(), who.session_id)
        return None if done else SignInRefused()

    async def page(self, who: SignedIn, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """One's own sessions, the newest first; `current` is the one that asks."""
        return await self.page_of(who.user_id, current=who.session_id, limit=limit, cursor=cursor)

    async def end(self, who: SignedIn, session_id: str) -> None:
        """End one of one's own sessions; NotFound when there is none of this id."""
        await self.end_of(who.user_id, session_id)

    async def end_others(self, who: SignedIn) -> int:
        """End all of one's own sessions but this one; how many, with links that were not used yet."""
        return await self._store.write(sign_out_everywhere, who.user_id, except_id=who.session_id)

    # --- for the use cases beside this one -----------------------------------------------------------------------

    async def page_of(
        self, user_id: str, *, current: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """The sessions of a user, the newest first."""
        size, after = check_limit(limit), read_text_cursor(cursor)
        now = self._now()
        oldest = later(now, -IDLE_SECONDS)
        rows = await self._store.read(sessions_page, user_id, now, oldest, after_id=after, limit=size + 1)
        return cut_page(rows, size, lambda row: row.id, lambda row: _document(row, current))

    async def hash_for(self, user: UserRow, password: str) -> str:
        """The hash of a new password of a user; Invalid when it is not good enough."""
        return await self._passwords.hash(_checked_password(password, user))

    async def end_of(self, user_id: str, session_id: str, told: AuditEntry | None = None) -> None:
        """End a session of a user, told by a row of the audit log; NotFound when there is none of this id."""
        ending = audited(end_session_of, lambda landed: told if landed else None)
        if not await self._store.write(ending, user_id, session_id):
            raise NotFound(f"there is no session {session_id[:100]}")


def sign_in_path(link: str) -> str:
    return f"/sign-in?token={link}"


def _checked_password(text: str, owner: UserRow) -> str:
    try:
        return check_password(text, owner.login, owner.name)
    except ValueError as error:
        raise invalid("the password", (FieldError("password", str(error)),)) from None


def _limit(kind: str, tried: str, free: int) -> Limit:
    # hashed: people type passwords into the wrong field
    subject = f"{kind}:{sha256(tried.encode(errors='replace')).hexdigest()}"
    return Limit(subject, free, LONGEST_WAIT_SECONDS, FAILURES_KEPT_SECONDS)


def _network_of(source_ip: str) -> str:
    """What counts as one address: with IPv6 a /64, of which one machine may have all."""
    try:
        address = ip_address(source_ip)
    except ValueError:
        return source_ip
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else source_ip


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="replace")).digest()


def _document(row: SessionRow, current: str | None) -> Json:
    return {
        "id": row.id,
        "created_at": format_instant(row.created_at),
        "expires_at": format_instant(row.expires_at),
        "last_seen_at": format_instant(row.last_seen_at),
        "agent": row.agent,
        "source_ip": row.source_ip,
        "current": row.id == current,
    }
