"""Signing in through the installation's OpenID provider: who that is here, and what they may do.

A user whom the provider vouched for once is known by issuer and subject from then on. The first time, it is the user
whose login is the e-mail address that the provider has verified. Whoever is nobody here is refused, unless the
settings give strangers a role. What a sign-in has to remember on its way through the provider is in a sealed cookie, so
that any node can finish what another one began.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from crossdock import observe
from crossdock.clock import Clock, new_id
from crossdock.identity.id_token import IdentityRefused
from crossdock.identity.provider import Attempt, Client, Provider
from crossdock.manage.actor import ROLES, Actor, Role
from crossdock.manage.logins import normalise_login
from crossdock.manage.sessions import Begun, Sessions
from crossdock.manage.user_entries import TellOfUser
from crossdock.model.errors import Conflict
from crossdock.model.outcome import Json
from crossdock.model.time import Instant, seconds_between
from crossdock.outbound.client import HttpSender
from crossdock.settings import Settings
from crossdock.store.audit import audited
from crossdock.store.beside import Records
from crossdock.store.people import (
    ADMINISTRATION,
    LoginTaken,
    StoredUser,
    UserChange,
    UserRow,
    administration_id,
    change_user,
    link_identity,
    make_user,
    user_by_identity,
    user_by_login,
)
from crossdock.vault import Sealed, Vault, VaultError

ATTEMPT_SECONDS = 600.0
"""How long somebody may take at the provider."""
_PURPOSE = "single-sign-on/attempt"


@dataclass(frozen=True, slots=True)
class RoleRules:
    """What the provider decides about roles in the workspace `default`."""

    claim: str = "groups"
    groups: Mapping[str, Role] = field(default_factory=dict)
    """The role of each group; without any, the provider decides nothing."""
    default: Role | None = None
    """Of whoever is in none of the groups, or nobody here yet; None: is refused."""

    def role(self, claims: Mapping[str, Json]) -> Role | None:
        """The highest role that the claims give."""
        told = claims.get(self.claim)
        names = told if isinstance(told, list) else [told]
        given = [self.groups[name] for name in names if isinstance(name, str) and name in self.groups]
        return max(given, key=ROLES.index, default=self.default)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and the text that it keeps until it comes back."""

    url: str
    kept: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody came back and is signed in; `then` is the page that they wanted."""

    begun: Begun
    then: str


@dataclass(frozen=True, slots=True)
class ArrivalRefused:
    """Nobody is signed in; `words` say why, for people."""

    words: str


@dataclass(frozen=True, slots=True)
class SignOnPorts:
    """What signing in through a provider works with."""

    store: Records
    sessions: Sessions
    vault: Vault
    now: Clock


def sign_on_of(settings: Settings, ports: SignOnPorts, sender: HttpSender, redirect_url: str) -> SingleSignOn | None:
    """Signing in through the provider that the settings name; None when they name none."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    secret = settings.secret("oidc_client_secret")
    client = Client(settings.oidc_issuer, settings.oidc_client_id, redirect_url, settings.oidc_scopes, secret)
    rules = RoleRules(settings.oidc_roles_claim, settings.oidc_roles.by_group, settings.oidc_default_role)
    return SingleSignOn(ports, Provider(client, sender), rules, settings.oidc_name)


class SingleSignOn:
    """The use case of whoever comes through the provider. `name` is what people call it."""

    def __init__(self, ports: SignOnPorts, provider: Provider, rules: RoleRules, name: str) -> None:
        self.name = name
        self._ports = ports
        self._provider = provider
        self._rules = rules

    async def begin(self, then: str = "") -> Departure | ArrivalRefused:
        """To the provider. `then` is the page to show afterwards, checked by whoever shows it."""
        attempt = Attempt.new()
        try:
            url = await self._provider.sign_in_url(attempt)
        except IdentityRefused as error:
            return self._refused(str(error))
        return Departure(url, self._seal(attempt, then))

    async def finish(
        self, query: Mapping[str, str], kept: str | None, *, source_ip: str, agent: str = ""
    ) -> Arrival | ArrivalRefused:
        """Back from the provider, with what the browser kept. Nothing of what comes from outside is raised."""
        opened = self._open(kept or "")
        if opened is None:
            return self._refused("this sign-in took too long, or was begun in another browser; begin again")
        attempt, then = opened
        try:
            claims = await self._provider.claims(query, attempt)
            user = await self._user_of(claims)
        except IdentityRefused as error:
            return self._refused(str(error))
        begun = await self._ports.sessions.begin_for(user.row.id, source_ip=source_ip, agent=agent)
        if begun is None:
            return self._refused("you may not sign in here; ask an administrator")
        return Arrival(begun, then)

    def _refused(self, words: str) -> ArrivalRefused:
        observe.emit(observe.SIGN_ON_REFUSED, reason=words)
        return ArrivalRefused(words)

    # --- who that is ---------------------------------------------------------------------------------------------

    async def _user_of(self, claims: Mapping[str, Json]) -> StoredUser:
        issuer, subject = self._provider.client.issuer, str(claims["sub"])
        role = self._rules.role(claims)
        if self._rules.groups and role is None:
            raise IdentityRefused("you are in none of the groups that may sign in here; ask an administrator")
        known = await self._ports.store.read(user_by_identity, issuer, subject)
        if known is None:
            known = await self._linked(claims, issuer, subject) or await self._made(claims, issuer, subject, role)
        return await self._with_role(known, role) if self._rules.groups else known

    async def _linked(self, claims: Mapping[str, Json], issuer: str, subject: str) -> StoredUser | None:
        """The user whose login is the verified e-mail address, from now on known by the provider's name."""
        login = _verified_address(claims)
        found = await self._ports.store.read(user_by_login, login) if login else None
        if found is None or found.row.disabled:
            return None
        now = self._ports.now()
        told = (await self._tell(now)).of_deed("user.identity_linked", found, {"issuer": issuer})
        linking = audited(link_identity, lambda landed: told if landed else None)
        if not await self._ports.store.write(linking, found.row.id, issuer, subject, now):
            raise IdentityRefused("somebody else at the provider is that user already; ask an administrator")
        return found

    async def _made(self, claims: Mapping[str, Json], issuer: str, subject: str, role: Role | None) -> StoredUser:
        """A new user, where the settings have a role for strangers."""
        login = _verified_address(claims) or _chosen_name(claims)
        if role is None or not login:
            raise IdentityRefused("you are no user here; ask an administrator to add your e-mail address as a login")
        now = self._ports.now()
        row = UserRow(new_id("usr"), login, _shown_name(claims, login), now, now, issuer=issuer, subject=subject)
        place = await self._ports.store.read(administration_id)
        made = await self._ports.store.write(make_user, row, {place: role}, await self._tell(now))
        if isinstance(made, LoginTaken):
            raise IdentityRefused("somebody here has that login already; ask an administrator")
        return made

    async def _with_role(self, stored: StoredUser, role: Role | None) -> StoredUser:
        """The user with the role that the provider's groups give in the workspace `default`."""
        place, now = await self._ports.store.read(administration_id), self._ports.now()
        if role is None or stored.role_in(place) == role:
            return stored
        change = UserChange(now, roles={place: role})
        try:
            return await self._ports.store.write(change_user, stored.row.id, change, await self._tell(now)) or stored
        except Conflict:  # the last administrator stays one, whatever the provider says
            return stored

    async def _tell(self, now: Instant) -> TellOfUser:
        place = await self._ports.store.read(administration_id)
        return TellOfUser(Actor(self.name, place, ADMINISTRATION, "admin"), place, now)

    # --- between the way out and the way back --------------------------------------------------------------------

    def _seal(self, attempt: Attempt, then: str) -> str:
        plain = [attempt.state, attempt.nonce, attempt.verifier, then, self._ports.now()]
        sealed = self._ports.vault.seal(json.dumps(plain).encode(), _PURPOSE)
        return f"{sealed.key_id}.{base64.urlsafe_b64encode(sealed.sealed).decode()}"

    def _open(self, kept: str) -> tuple[Attempt, str] | None:
        key_id, _, text = kept.partition(".")
        try:
            sealed = Sealed(key_id, base64.b64decode(text, altchars=b"-_", validate=True))
            state, nonce, verifier, then, began = json.loads(self._ports.vault.open(sealed, _PURPOSE))
        except (VaultError, ValueError, binascii.Error):
            return None
        if not -ATTEMPT_SECONDS < seconds_between(began, self._ports.now()) < ATTEMPT_SECONDS:
            return None
        return Attempt(state, nonce, verifier), then


def _chosen_name(claims: Mapping[str, Json]) -> str:
    """What people chose to be called at the provider; '' for what looks like an address, which nobody has verified."""
    name = claims.get("preferred_username")
    return normalise_login(name) if isinstance(name, str) and "@" not in normalise_login(name) else ""


def _verified_address(claims: Mapping[str, Json]) -> str:
    """The e-mail address as a login, if the provider says that it has verified it; '' otherwise.

    Only as it stands: letters that merely look alike, such as the full-width `a`, are another person's address.
    """
    address = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(address, str) or "@" not in address:
        return ""
    if not address.isascii():
        return ""
    return normalise_login(address)


def _shown_name(claims: Mapping[str, Json], login: str) -> str:
    name = claims.get("name")
    shown = name.strip()[:120] if isinstance(name, str) and name.isprintable() else ""
    return shown or login
