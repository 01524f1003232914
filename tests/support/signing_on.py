"""One node's way of signing in through a provider, and what a test finds out by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from crossdock.clock import system_now
from crossdock.identity.provider import Client, Provider
from crossdock.manage.sessions import Sessions, SignedIn
from crossdock.manage.single_sign_on import Arrival, ArrivalRefused, RoleRules, SignOnPorts, SingleSignOn
from crossdock.outbound.client import HttpSender
from crossdock.outbound.guard import Guard
from crossdock.store import Store
from crossdock.store.people import UserRow, add_user, lock_user, save_user, set_role
from crossdock.vault import Vault
from tests.support.openid import CLIENT_ID, CLIENT_SECRET

HOME = Guard((ip_network("127.0.0.0/8"),))
CALLBACK = "https://hooks.example/sign-in/oidc/callback"
STRANGERS = RoleRules(default="viewer")


@dataclass
class Desk:
    store: Store
    sessions: Sessions
    sender: HttpSender
    issuer: str
    now: Callable[[], int] = system_now
    secret: str | None = CLIENT_SECRET
    provider: Provider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = Provider(Client(self.issuer, CLIENT_ID, CALLBACK, secret=self.secret), self.sender)

    def node(self, rules: RoleRules | None = None) -> SingleSignOn:
        """One of the nodes of an installation: they share the vault's key and the database."""
        return SingleSignOn(
            SignOnPorts(self.store, self.sessions, Vault([bytes(32)]), self.now),
            self.provider,
            rules or RoleRules(),
            "Example",
        )

    async def add(self, login: str, *, disabled: bool = False) -> None:
        await self.store.write(add_user, UserRow(f"usr_{login}", login, login, 1, 1))
        await self.store.write(set_role, f"usr_{login}", "wsp_home", "viewer")
        if disabled:
            await self.store.write(_disable, f"usr_{login}")

    async def who(self, arrival: Arrival | ArrivalRefused) -> SignedIn:
        assert isinstance(arrival, Arrival), arrival
        found = await self.sessions.recognise(arrival.begun.text)
        assert found is not None
        return found


def _disable(connection, user_id: str) -> None:
    stored = lock_user(connection, user_id)
    assert stored is not None
    save_user(connection, replace(stored.row, disabled=True))
