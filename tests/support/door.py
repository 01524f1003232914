"""Ways in, for tests of signing in: alice is the admin, bob an operator of `away`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, Table, func, select

from crossdock.manage.sessions import (
    Begun,
    Sessions,
    SignedIn,
)
from crossdock.store import Store
from crossdock.store.people import UserRow, add_user, lock_user, remove_user, save_user, set_role, user_by_login

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"
THERE = "198.51.100.9"


@dataclass(frozen=True)
class Door:
    """Sessions over one store; `path` leads to the first link."""

    store: Store
    sessions: Sessions

    async def first(self) -> Begun:
        """alice, the first user, by the link of the start."""
        begun = await self.sessions.begin_with_link(
            await self.first_link(), login="Alice", name="Alice A.", password=PASSWORD, source_ip=HERE
        )
        assert begun is not None
        return begun

    async def first_link(self) -> str:
        path = await self.sessions.first_sign_in_path()
        assert path is not None
        return path.removeprefix("/sign-in?token=")

    async def add(self, login: str, now: int, workspace_id: str = "wsp_away", role: str = "operator") -> str:
        """A user without a password; the link for one."""
        await self.store.write(add_user, UserRow(f"usr_{login}", login, login.title(), now, now))
        await self.store.write(set_role, f"usr_{login}", workspace_id, role)
        return await self.link(login)

    async def link(self, login: str) -> str:
        stored = await self.store.read(user_by_login, login)
        assert stored is not None
        path, _ = await self.sessions.link_for(stored)
        return path.removeprefix("/sign-in?token=")

    async def try_in(self, login: str = "alice", password: str = PASSWORD, source_ip: str = HERE) -> object:
        return await self.sessions.sign_in(login, password, source_ip=source_ip, agent="Browser/1")

    async def begun(self) -> Begun:
        answer = await self.try_in()
        assert isinstance(answer, Begun), answer
        return answer

    async def who(self, begun: object) -> SignedIn:
        assert isinstance(begun, Begun), begun
        found = await self.sessions.recognise(begun.text)
        assert found is not None
        return found


def rows_of(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def remove(connection: Connection, user_id: str) -> None:
    remove_user(connection, user_id, lambda before, after: ())


def disable(connection: Connection, user_id: str) -> None:
    stored = lock_user(connection, user_id)
    assert stored is not None
    save_user(connection, replace(stored.row, disabled=True))
