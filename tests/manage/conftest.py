"""Managing a workspace: alice is an admin, bob an operator, charlie a viewer; dora is an admin somewhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crossdock.catalog import Catalog
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply
from crossdock.manage.connections import Connections
from crossdock.manage.documents import Rules
from crossdock.manage.drafts import Drafts
from crossdock.manage.events import Events
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.keys import KeyPorts, Keys
from crossdock.manage.passwords import Passwords
from crossdock.manage.ports import Stages
from crossdock.manage.sessions import Sessions
from crossdock.manage.tokens import AdminToken, Tokens
from crossdock.manage.webhooks import Webhooks
from crossdock.manage.workflows import Workflows
from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from crossdock.run.compile import compile_workflow
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.vault import Vault
from tests.support.connections import SQLITE_FOLDER, Tries, connections_of
from tests.support.door import Door
from tests.support.held import HeldClock
from tests.support.webhooks import Calls, webhooks_of
from tests.support.yard import Yard

ADMIN_TOKEN = "token-of-the-settings"


RULES = Rules(compile_workflow, Guard().check_url)


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that manages, over one store."""

    store: Store
    vault: Vault
    catalog: Catalog
    integrations: Integrations
    connections: Connections
    tries: Tries
    webhooks: Webhooks
    calls: Calls
    keys: Keys
    workflows: Workflows
    drafts: Drafts
    tokens: Tokens
    apply: Apply
    alice: Actor
    bob: Actor
    charlie: Actor
    dora: Actor


@pytest.fixture
async def desk(store: Store, clock: HeldClock) -> Desk:
    home = await store.write(ensure_workspace, "wsp_home", "default", clock())
    away = await store.write(ensure_workspace, "wsp_away", "away", clock())
    vault = Vault([bytes(32)])
    catalog = Catalog(store, vault, SQLITE_FOLDER)
    ports = IntegrationPorts(store, vault, catalog, RULES, clock, "https://hooks.example")
    integrations = Integrations(ports)
    tries = Tries()
    connections = connections_of(store, vault, catalog, clock, tries)
    workflows = Workflows(ports, integrations)
    calls = Calls()
    webhooks = webhooks_of(store, vault, catalog, clock, calls)
    return Desk(
        store=store,
        vault=vault,
        catalog=catalog,
        integrations=integrations,
        connections=connections,
        tries=tries,
        webhooks=webhooks,
        calls=calls,
        keys=Keys(KeyPorts(store, catalog, clock)),
        workflows=workflows,
        drafts=Drafts(ports, integrations, workflows),
        tokens=Tokens(store, clock, [AdminToken("admin token", ADMIN_TOKEN, home, "default")]),
        apply=Apply(integrations, connections, webhooks),
        alice=Actor("alice", home, "default", "admin"),
        bob=Actor("bob", home, "default", "operator"),
        charlie=Actor("charlie", home, "default", "viewer"),
        dora=Actor("dora", away, "away", "admin"),
    )


@pytest.fixture
async def yard(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[Yard]:
    """A node that looks for work, in a workspace of its own."""
    built = Yard(store, clock, tmp_path / "functions")
    built.start()
    yield built
    await built.close()


@pytest.fixture
def events(yard: Yard) -> Events:
    """What can be done with the yard's events."""
    return Events(yard.store, yard.catalog, yard.clock, Stages(yard.stage, None, yard.answers.announce))


def trigger(name: str = "Orders", **more: Json) -> Json:
    """The document of a webhook trigger."""
    return {"name": name, "type": "webhook-trigger", "status": "enabled", **more}


def steps(*ids: str) -> Json:
    """A workflow with a step for each id."""
    return {"steps": [{"id": one, "transform": {"made_by": one}} for one in ids]}


def wrong(error: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    """The messages of a refusal by field."""
    return {one.field: one.message for one in error.value.errors}


@pytest.fixture
async def door(store: Store, clock: HeldClock) -> Door:
    """Signing in to an installation that nobody has signed in to yet."""
    await store.write(ensure_workspace, "wsp_home", "default", clock())
    await store.write(ensure_workspace, "wsp_away", "away", clock())
    return Door(store, Sessions(store, Passwords(memory_kib=64, passes=1), clock))
