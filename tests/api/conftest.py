"""The API over real HTTP: alice is an admin, bob an operator, charlie a viewer; dora an admin of another workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from crossdock.api import create_api
from crossdock.manage.actor import Actor
from crossdock.manage.use_cases import UseCases
from crossdock.server.app import Application, Parts, Readiness
from crossdock.server.serve import WebServer
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from tests.support.cases import make_cases
from tests.support.held import HeldClock
from tests.support.story import Story
from tests.support.trials import Silent


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any


@dataclass
class Api:
    """A running API and a client of it."""

    url: str
    session: aiohttp.ClientSession
    cases: UseCases
    story: Story
    silent: Silent
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, document: Any = None, *, who: str = "alice", **more: Any) -> Answered:
        headers = {**({"Authorization": f"Bearer {self.tokens[who]}"} if who else {}), **more.pop("headers", {})}
        if document is not None:
            more["json"] = document
        async with self.session.request(method, f"{self.url}{path}", headers=headers, **more) as answer:
            body = await answer.read()
            parsed = await answer.json(content_type=None) if "json" in answer.content_type else None
            return Answered(answer.status, {name.lower(): v for name, v in answer.headers.items()}, body, parsed)

    async def make(self, name: str = "Orders", **more: Any) -> Any:
        """A new, enabled webhook trigger; its document."""
        document = {"name": name, "type": "webhook-trigger", "status": "enabled", **more}
        made = await self.call("POST", "/api/v1/integrations", document)
        assert made.status == 201, made.json
        return made.json


@asynccontextmanager
async def serving_api(store: Store, clock: HeldClock) -> AsyncIterator[Api]:
    home = await store.write(ensure_workspace, "wsp_home", "default", clock())
    away = await store.write(ensure_workspace, "wsp_away", "away", clock())
    silent = Silent()
    cases = make_cases(store, clock, silent)
    server = WebServer(Application(Parts(ready=_ready, metrics=bytes, api=create_api(cases))))
    address = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        api = Api(address.url, session, cases, Story(store, clock), silent)
        roles = {"alice": ("admin", home), "bob": ("operator", home), "charlie": ("viewer", home)}
        for name, (role, workspace) in {**roles, "dora": ("admin", away)}.items():
            slug = "default" if workspace == home else "away"
            made = await cases.tokens.create(Actor("setup", workspace, slug, "admin"), name, role)
            api.tokens[name] = made["token"]
        yield api
    await server.stop(grace=1.0)


async def _ready() -> Readiness:
    return Readiness(True, {})


@pytest.fixture
async def api(store: Store, clock: HeldClock) -> AsyncIterator[Api]:
    async with serving_api(store, clock) as running:
        yield running
