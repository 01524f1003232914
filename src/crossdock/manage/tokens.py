"""API tokens: who a program is and what it may do.

Every request is recognised from memory; the table is read again when something changes. Tokens are long and random,
so their plain SHA-256 is stored, and compared in constant time.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from crossdock.clock import Clock, new_id
from crossdock.manage.actor import ROLES, Actor, Role
from crossdock.manage.audit_entries import Subject, entry_of
from crossdock.manage.fields import check_line
from crossdock.manage.paging import Page, check_limit, cut_page, read_text_cursor
from crossdock.manage.refusals import invalid
from crossdock.manage.secrets import hash_credential, hint_of, new_credential
from crossdock.model.errors import FieldError, NotFound, StoreUnavailable
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, format_instant, parse_instant
from crossdock.store import Store
from crossdock.store.audit import AuditEntry, audited, audited_with
from crossdock.store.configuration import configuration_number
from crossdock.store.signals import Signals, Topic
from crossdock.store.tokens import (
    TokenRow,
    add_token,
    all_tokens,
    delete_token,
    record_token_use,
    token_by_id,
    tokens_page,
)

TOKEN_PREFIX = "xdt_"
NAME_LENGTH = 80


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A token that is not stored: an admin of one workspace. `name` says where it comes from."""

    name: str
    text: str
    workspace_id: str
    workspace: str


class Tokens:
    """The use cases around tokens, and their recognition."""

    def __init__(
        self, store: Store, now: Clock, admins: Sequence[AdminToken] = (), signals: Signals | None = None
    ) -> None:
        self._store = store
        self._now = now
        self._tokens: Mapping[bytes, TokenRow] = {}
        self._signals = signals or Signals()
        self._used: dict[str, Instant] = {}
        self._number = -1
        self._reloading = asyncio.Lock()
        self._admins = {
            hash_credential(admin.text): Actor(admin.name, admin.workspace_id, admin.workspace, "admin")
            for admin in admins
        }

    async def reload(self) -> None:
        """Read all tokens again; to be called at start."""
        async with self._reloading:  # the one that read first must not be the last to say what there is
            # the number first: what changes after it was read brings another reload
            number = await self._store.read(configuration_number)
            self._tokens = {row.hash: row for row in await self._store.read(all_tokens)}
            self._number = number

    async def reload_if_changed(self) -> bool:
        """Read all tokens again when the configuration was changed since the last time, by whatever node."""
        return await self.reload_unless(await self._store.read(configuration_number))

    async def reload_unless(self, number: int) -> bool:
        """Read all tokens again unless they were read at this number of changes; whether they were not."""
        if number == self._number:
            return False
        await self.reload()
        return True

    async def _reload_here_and_elsewhere(self) -> None:
        self._signals.tell(Topic.CONFIGURATION)
        await self.reload()

    def authenticate(self, text: str) -> Actor | None:
        """Who this token stands for; None for an unknown or expired one."""
        digest = hash_credential(text.encode(errors="replace").decode())
        for known, actor in self._admins.items():
            if hmac.compare_digest(known, digest):
                return actor
        row = self._tokens.get(digest)
        if row is None or not hmac.compare_digest(row.hash, digest) or row.role not in ROLES:
            return None
        now = self._now()
        if row.expires_at is not None and row.expires_at <= now:
            return None
        self._used[row.id] = now
        return Actor(row.name, row.workspace_id, row.workspace, _role(row.role), row.id)

    async def record_uses(self) -> None:
        """Write down when tokens were last used; what can't be written now is kept for the next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store.write(record_token_use, used)
        except StoreUnavailable:
            self._used = {**used, **self._used}
            raise

    async def create(self, actor: Actor, name: str, role: str, expires_at: str | None = None) -> Json:
        """A new token: `{id, name, role, hint, token, ...}`, the only time that its text is told."""
        actor.require("admin")
        text, now = new_credential(TOKEN_PREFIX), self._now()
        row = TokenRow(
            id=new_id("tok"),
            workspace_id=actor.workspace_id,
            workspace=actor.workspace,
            name=_checked_name(name),
            role=_checked_role(role),
            hint=hint_of(text),
            hash=hash_credential(text),
            created_at=now,
            expires_at=_checked_end(expires_at, now),
        )
        told = entry_of(actor, "token.created", Subject(row.id, row.name), now=now, after=_told(row))
        if not await self._store.write(audited(add_token, lambda landed: told if landed else None), row):
            raise invalid("the token", (FieldError("name", f"is taken by another token: {row.name}"),))
        await self._reload_here_and_elsewhere()
        return {**_document(row), "token": text}

    async def page(self, actor: Actor, *, limit: int | None = None, cursor: str | None = None) -> Page:
        """The tokens of the workspace, oldest first. Their text is not known any more."""
        actor.require("admin")
        size, after = check_limit(limit), read_text_cursor(cursor)
        rows = await self._store.read(tokens_page, actor.workspace_id, after_id=after, limit=size + 1)
        return cut_page(rows, size, lambda row: row.id, _document)

    async def revoke(self, actor: Actor, token_id: str) -> None:
        """Forget the token; it is refused from now on."""
        actor.require("admin")
        place, now = (actor.workspace_id, token_id), self._now()

        def tell(seen: TokenRow | None, landed: bool) -> AuditEntry | None:
            if not landed or seen is None:
                return None
            return entry_of(actor, "token.revoked", Subject(seen.id, seen.name), now=now, before=_told(seen))

        look = partial(token_by_id, workspace_id=place[0], token_id=place[1])
        if not await self._store.write(audited_with(look, delete_token, tell), *place):
            raise NotFound(f"there is no token {token_id}")
        await self._reload_here_and_elsewhere()


def _role(text: str) -> Role:
    return next(role for role in ROLES if role == text)


def _checked_name(name: str) -> str:
    try:
        return check_line(name, NAME_LENGTH)
    except ValueError as error:
        raise invalid("the token", (FieldError("name", str(error)),)) from None


def _checked_role(role: str) -> Role:
    if role not in ROLES:
        raise invalid("the token", (FieldError("role", f"must be one of {', '.join(ROLES)}"),))
    return _role(role)


def _checked_end(expires_at: str | None, now: Instant) -> Instant | None:
    if expires_at is None:
        return None
    try:
        end = parse_instant(expires_at)
    except ValueError as error:
        raise invalid("the token", (FieldError("expires_at", str(error)),)) from None
    if end <= now:
        raise invalid("the token", (FieldError("expires_at", "must lie in the future"),))
    return end


def _told(row: TokenRow) -> Json:
    """What the audit log keeps of a token: what people decided about it, and by what they know it."""
    document = _document(row)
    return {name: document[name] for name in ("name", "role", "hint", "expires_at")}


def _document(row: TokenRow) -> Json:
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "hint": row.hint,
        "created_at": format_instant(row.created_at),
        "expires_at": None if row.expires_at is None else format_instant(row.expires_at),
        "last_used_at": None if row.last_used_at is None else format_instant(row.last_used_at),
    }
