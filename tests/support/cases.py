"""All use cases over a real store, with the outside world held still."""

from __future__ import annotations

from collections.abc import Mapping

from crossdock.catalog import Catalog
from crossdock.manage.apply import Apply
from crossdock.manage.audit import Audit
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
from crossdock.manage.live import Live
from crossdock.manage.master_key import MasterKey
from crossdock.manage.overview import Overview
from crossdock.manage.passwords import Passwords
from crossdock.manage.ports import Stages
from crossdock.manage.sessions import Sessions
from crossdock.manage.stats import Stats
from crossdock.manage.tokens import Tokens
from crossdock.manage.traffic import Traffic
from crossdock.manage.use_cases import UseCases
from crossdock.manage.users import UserPorts, Users
from crossdock.manage.workflows import Workflows
from crossdock.manage.workspaces import WorkspacePorts, Workspaces
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from crossdock.run.functions import Functions
from crossdock.store import Store
from crossdock.vault import Vault
from tests.support.connections import connections_of
from tests.support.held import HeldClock, held_sources
from tests.support.outside import outside_of
from tests.support.runs import NODE
from tests.support.trials import Silent, trials_of
from tests.support.webhooks import webhooks_of


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


def make_cases(store: Store, clock: HeldClock, silent: Silent) -> UseCases:
    catalog = Catalog(store, Vault([bytes(32)]))
    rules = Rules(compile_workflow, Guard().check_url)
    ports = IntegrationPorts(store, Vault([bytes(32)]), catalog, rules, clock, "https://hooks.example")
    integrations = Integrations(ports)
    workflows = Workflows(ports, integrations)
    stages = Stages()
    traffic = Traffic(store, clock)
    tokens = Tokens(store, clock)
    sessions = Sessions(store, Passwords(memory_kib=64, passes=1), clock)
    connections = connections_of(store, Vault([bytes(32)]), catalog, clock)
    webhooks = webhooks_of(store, Vault([bytes(32)]), catalog, clock)
    return UseCases(
        integrations=integrations,
        health=HealthOfIntegrations(HealthPorts(store, integrations, clock, stages)),
        keys=Keys(KeyPorts(store, catalog, clock)),
        workflows=workflows,
        drafts=Drafts(ports, integrations, workflows),
        trials=trials_of(store, catalog, clock, outside_of(Functions(None, 1), http=silent)),
        tokens=tokens,
        sessions=sessions,
        users=Users(UserPorts(store, sessions, clock, "https://hooks.example")),
        workspaces=Workspaces(WorkspacePorts(store, catalog, tokens, clock)),
        events=Events(store, catalog, clock, stages),
        lanes=Lanes(store, clock, stages),
        master_key=MasterKey(store, Vault([bytes(32)]), clock),
        deliveries=Deliveries(store, clock, stages),
        bulk_jobs=BulkJobs(ports, integrations, stages),
        stats=Stats(store, clock),
        traffic=traffic,
        overview=Overview(store, integrations, traffic, clock),
        live=Live(store, traffic, clock),
        fleet=Fleet(store, held_sources(clock, NODE), 10.0),
        connections=connections,
        webhooks=webhooks,
        apply=Apply(integrations, connections, webhooks),
        audit=Audit(store),
        settings=lambda: [{"name": "port", "value": 1, "default": 1, "help": "Port.", "secret": False}],
    )
