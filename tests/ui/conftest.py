"""Pages over real HTTP, as a browser without scripts sees them.

alice is an admin, bob an operator, charlie a viewer of the workspace `default`; dora is an admin of `away` alone.

Pages are made of what use cases answer, and those are tested on both databases: here SQLite does, except in
`test_workspace.py`, whose few tests go the whole way from a page to either database.
"""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection

from crossdock.manage.actor import Actor
from crossdock.manage.sessions import Sessions
from crossdock.manage.use_cases import UseCases
from crossdock.server.app import Application, Parts, Readiness
from crossdock.server.serve import WebServer
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.store.people import UserRow, add_user, set_role
from crossdock.ui import Workspace
from tests.conftest import fresh_database
from tests.support.cases import make_cases
from tests.support.held import HeldClock
from tests.support.story import Story
from tests.support.trials import Silent

PEOPLE = {
    "alice": ("default", "admin"),
    "bob": ("default", "operator"),
    "charlie": ("default", "viewer"),
    "dora": ("away", "admin"),
}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}

on_both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@dataclass(frozen=True)
class Shown:
    """A page as it came."""

    status: int
    text: str
    headers: Any

    @property
    def words(self) -> str:
        """What can be read on the page: without tags, entities resolved, white space as one blank."""
        body = re.sub(r"<(script|style|template|svg)\b.*?</\1>", " ", self.text, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())

    @property
    def location(self) -> str:
        return str(self.headers.get("location", ""))


@dataclass
class Site:
    """A running workspace and browsers that are signed in."""

    url: str
    session: aiohttp.ClientSession
    cases: UseCases
    sessions: Sessions
    story: Story
    clock: HeldClock
    cookies: dict[str, str] = field(default_factory=dict)

    async def open(self, path: str, who: str = "alice", **headers: str) -> Shown:
        """A page; `who` may be '' for nobody. Redirects are not followed."""
        return await self._ask("GET", path, who, headers)

    async def send(self, path: str, fields: Any, who: str = "alice", **headers: str) -> Shown:
        """What a form of one of our pages sends: a mapping, or pairs where names repeat."""
        pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)
        return await self._ask("POST", path, who, {**OWN_PAGE, **headers}, data=aiohttp.FormData(pairs))

    def actor(self, who: str = "alice") -> Actor:
        slug, role = PEOPLE[who]
        return Actor(who, "wsp_home" if slug == "default" else "wsp_away", slug, role, f"usr_{who}")  # type: ignore[arg-type]

    async def _ask(self, method: str, path: str, who: str, headers: dict[str, str], **more: Any) -> Shown:
        sent = {"Accept": "text/html", **headers}
        if who:
            sent["Cookie"] = f"crossdock={self.cookies[who]}"
        async with self.session.request(method, self.url + path, headers=sent, allow_redirects=False, **more) as answer:
            return Shown(answer.status, await answer.text(), answer.headers)


@asynccontextmanager
async def serving_pages(store: Store, clock: HeldClock, *, with_people: bool = True) -> AsyncIterator[Site]:
    cases = make_cases(store, clock, Silent())
    sessions = cases.sessions
    await store.write(_add_people if with_people else _add_workspaces, clock())
    server = WebServer(Application(Parts(ready=_ready, metrics=bytes, pages=Workspace(cases, sessions))))
    address = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        site = Site(address.url, session, cases, sessions, Story(store, clock), clock)
        for name in PEOPLE if with_people else ():
            begun = await sessions.begin_for(f"usr_{name}", source_ip="127.0.0.1")
            assert begun is not None
            site.cookies[name] = begun.text
        yield site
    await server.stop(grace=1.0)


def _add_workspaces(connection: Connection, now: int) -> dict[str, str]:
    return {slug: ensure_workspace(connection, new_id, slug, now) for new_id, slug in WORKSPACES}


def _add_people(connection: Connection, now: int) -> None:
    ids = _add_workspaces(connection, now)
    for name, (slug, role) in PEOPLE.items():
        add_user(connection, UserRow(f"usr_{name}", name, name.capitalize(), now, now, "$argon2id$of-nobody"))
        set_role(connection, f"usr_{name}", ids[slug], role)


WORKSPACES = (("wsp_home", "default"), ("wsp_away", "away"))


async def _ready() -> Readiness:
    return Readiness(True, {})


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database; `on_both_databases` is the mark of tests that need the other kind, too."""
    yield from fresh_database(request, tmp_path)


@pytest.fixture
async def site(store: Store, clock: HeldClock) -> AsyncIterator[Site]:
    async with serving_pages(store, clock) as running:
        yield running
