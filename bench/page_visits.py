"""Whole pages over HTTP, as a browser that is signed in asks for them: use cases, templates and gzip together."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from sqlalchemy import Connection

from crossdock.clock import Clock
from crossdock.manage.actor import Actor
from crossdock.manage.events import EventQuery
from crossdock.manage.use_cases import UseCases
from crossdock.server.app import Application, Parts, Readiness
from crossdock.server.serve import WebServer
from crossdock.store import Store
from crossdock.store.people import UserRow, add_user, set_role, user_by_id
from crossdock.ui import Workspace

VISITOR = "usr_bench"
PAGES = (
    "",
    "/integrations",
    "/integrations/{integration}",
    "/integrations/{integration}/events",
    "/integrations/{integration}/workflow",
    "/integrations/{integration}/access",
    "/integrations/{integration}/settings",
    "/integrations/{integration}/code",
    "/integrations/{integration}/lanes",
    "/events",
    "/events?status=failed",
    "/events?status=queued",
    "/events?integration={integration}",
    "/events?q=Customer+number",
    "/events?q=nobody+has+written+this",
    "/events?method=DELETE",
    "/events/{event}",
    "/notification-webhooks",
    "/bulk-jobs",
    "/connections",
    "/settings/audit",
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser without scripts, in the workspace `default`."""

    url: str
    session: aiohttp.ClientSession
    cookie: str
    cases: UseCases

    async def open(self, path: str) -> str:
        """Ask for a page, with nothing fresh of what came last; how large it was."""
        self.cases.traffic.open.expire()
        headers = {"Cookie": f"crossdock={self.cookie}", "Accept": "text/html", "Accept-Encoding": "gzip"}
        async with self.session.get(f"{self.url}/w/default{path}", headers=headers, allow_redirects=False) as answer:
            body = await answer.read()
            if answer.status != 200:
                return f"answered {answer.status}"
            is_packed = answer.headers.get("Content-Encoding") == "gzip"
        whole = gzip.decompress(body) if is_packed else body
        return f"{len(whole) / 1_000:.0f} kB, {len(body) / 1_000:.1f} kB sent"


async def paths(cases: UseCases, actor: Actor, integration_id: str) -> dict[str, str]:
    """The paths of pages behind `/w/default`, by what the table calls them."""
    event = (await cases.events.look(actor, EventQuery(status="failed"), limit=1)).items[0]["id"]
    return {page: page.format(integration=integration_id, event=event) for page in PAGES}


@asynccontextmanager
async def visiting(store: Store, cases: UseCases, workspace_id: str, clock: Clock) -> AsyncIterator[Visitor]:
    """Serve the pages, and sign somebody in."""
    await store.write(_add_visitor, workspace_id, clock())
    begun = await cases.sessions.begin_for(VISITOR, source_ip="127.0.0.1")
    assert begun is not None
    server = WebServer(Application(Parts(ready=_ready, metrics=bytes, pages=Workspace(cases, cases.sessions))))
    address = await server.start("127.0.0.1", 0)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as session:
        yield Visitor(address.url, session, begun.text, cases)
    await server.stop(grace=1.0)


def _add_visitor(connection: Connection, workspace_id: str, now: int) -> None:
    if user_by_id(connection, VISITOR) is None:  # else it is a database of an earlier time
        add_user(connection, UserRow(VISITOR, "bench", "Bench", now, now, "$argon2id$of-nobody"))
        set_role(connection, VISITOR, workspace_id, "admin")


async def _ready() -> Readiness:
    return Readiness(True, {})
