"""The API over real HTTP: alice is an admin, bob an operator, charlie a viewer; dora an admin of another workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from crossdock.api import UseCases, create_api
from crossdock.catalog import Catalog
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply
from crossdock.manage.bulk_jobs import BulkJobs
from crossdock.manage.deliveries import Deliveries
from crossdock.manage.documents import Rules
from crossdock.manage.drafts import Drafts
from crossdock.manage.events import Events
from crossdock.manage.fleet import Fleet
from crossdock.manage.health import HealthOfIntegrations, HealthPorts
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.keys import KeyPorts, Keys
from crossdock.manage.lanes import Lanes
from crossdock.manage.master_key import MasterKey
from crossdock.manage.ports import Stages
from crossdock.manage.stats import Stats
from crossdock.manage.tokens import Tokens
from crossdock.manage.workflows import Workflows
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from crossdock.run.functions import Functions
from crossdock.server.app import Application, Parts, Readiness
from crossdock.server.serve import WebServer
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.vault import Vault
from tests.api.story import Story
from tests.support.connections import connections_of
from tests.support.held import HeldClock, held_sources
from tests.support.outside import outside_of
from tests.support.runs import NODE
from tests.support.trials import Silent, trials_of
from tests.support.webhooks import webhooks_of


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


def compile_workflow(document: Json, number: int = 0, /, *, connections: Mapping[str, str]) -> object:
    """Stands for the compiler of the run stage: every step needs an id."""
    errors = [
        FieldError(f"workflow.steps[{position}].id", "is required")
        for position, step in enumerate(document.get("steps", []))
        if "id" not in step
    ]
    if errors:
        raise Invalid("the workflow is not acceptable", tuple(errors))
    return document


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


def make_cases(store: Store, clock: HeldClock, silent: Silent) -> UseCases:
    catalog = Catalog(store, Vault([bytes(32)]))
    rules = Rules(compile_workflow, Guard().check_url)
    ports = IntegrationPorts(store, Vault([bytes(32)]), catalog, rules, clock, "https://hooks.example")
    integrations = Integrations(ports)
    workflows = Workflows(ports, integrations)
    stages = Stages()
    connections = connections_of(store, Vault([bytes(32)]), catalog, clock)
    webhooks = webhooks_of(store, Vault([bytes(32)]), catalog, clock)
    return UseCases(
        integrations=integrations,
        health=HealthOfIntegrations(HealthPorts(store, integrations, clock, stages)),
        keys=Keys(KeyPorts(store, catalog, clock)),
        workflows=workflows,
        drafts=Drafts(ports, integrations, workflows),
        trials=trials_of(store, catalog, clock, outside_of(Functions(None, 1), http=silent)),
        tokens=Tokens(store, clock),
        events=Events(store, catalog, clock, stages),
        lanes=Lanes(store, clock, stages),
        master_key=MasterKey(store, Vault([bytes(32)]), clock),
        deliveries=Deliveries(store, clock, stages),
        bulk_jobs=BulkJobs(ports, integrations, stages),
        stats=Stats(store, clock),
        fleet=Fleet(store, held_sources(clock, NODE), 10.0),
        connections=connections,
        webhooks=webhooks,
        apply=Apply(integrations, connections, webhooks),
        settings=lambda: [{"name": "port", "value": 1, "default": 1, "help": "Port.", "secret": False}],
    )


async def _ready() -> Readiness:
    return Readiness(True, {})


@pytest.fixture
async def api(store: Store, clock: HeldClock) -> AsyncIterator[Api]:
    async with serving_api(store, clock) as running:
        yield running
