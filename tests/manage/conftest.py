"""Managing a workspace: alice is an admin, bob an operator, charlie a viewer; dora is an admin somewhere else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from crossdock.catalog import Catalog
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply
from crossdock.manage.connections import Connections
from crossdock.manage.documents import Rules
from crossdock.manage.drafts import Drafts
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.keys import KeyPorts, Keys
from crossdock.manage.tokens import AdminToken, Tokens
from crossdock.manage.workflows import Workflows
from crossdock.model.errors import Invalid
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from crossdock.run.compile import compile_workflow
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.vault import Vault
from tests.support.connections import SQLITE_FOLDER, Tries, connections_of
from tests.support.held import HeldClock

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
    return Desk(
        store=store,
        vault=vault,
        catalog=catalog,
        integrations=integrations,
        connections=connections,
        tries=tries,
        keys=Keys(KeyPorts(store, catalog, clock)),
        workflows=workflows,
        drafts=Drafts(ports, integrations, workflows),
        tokens=Tokens(store, clock, [AdminToken("admin token", ADMIN_TOKEN, home, "default")]),
        apply=Apply(integrations, connections),
        alice=Actor("alice", home, "default", "admin"),
        bob=Actor("bob", home, "default", "operator"),
        charlie=Actor("charlie", home, "default", "viewer"),
        dora=Actor("dora", away, "away", "admin"),
    )


def trigger(name: str = "Orders", **more: Json) -> Json:
    """The document of a webhook trigger."""
    return {"name": name, "type": "webhook-trigger", "status": "enabled", **more}


def steps(*ids: str) -> Json:
    """A workflow with a step for each id."""
    return {"steps": [{"id": one, "transform": {"made_by": one}} for one in ids]}


def wrong(error: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    """The messages of a refusal by field."""
    return {one.field: one.message for one in error.value.errors}
