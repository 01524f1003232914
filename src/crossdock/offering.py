"""What a node offers to people and programs: the use cases, put together for the API and for the pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from crossdock.catalog import Catalog
from crossdock.clock import Sources, system_now
from crossdock.deliver.preview import preview_reply
from crossdock.deliver.stage import DeliverStage
from crossdock.manage.apply import Apply
from crossdock.manage.audit import Audit
from crossdock.manage.bulk_jobs import BulkJobs
from crossdock.manage.connection_documents import ConnectionRules
from crossdock.manage.connections import ConnectionPorts, Connections
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
from crossdock.manage.tokens import AdminToken, Tokens
from crossdock.manage.traffic import Traffic
from crossdock.manage.trials import TrialPorts, Trials
from crossdock.manage.use_cases import UseCases
from crossdock.manage.users import UserPorts, Users
from crossdock.manage.webhook_documents import WebhookRules
from crossdock.manage.webhooks import WebhookPorts, Webhooks
from crossdock.manage.workflows import Workflows
from crossdock.manage.workspaces import WorkspacePorts, Workspaces
from crossdock.model.bulk import BulkKind
from crossdock.notices.sending import NoticeSender
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.guard import Guard
from crossdock.outbound.trying import Trying
from crossdock.receive.answers import Answers
from crossdock.receive.preview import preview_answer
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions
from crossdock.run.outside import Outside
from crossdock.run.stage import RunStage
from crossdock.run.trials import TrialRunner
from crossdock.settings import Settings
from crossdock.store import Store
from crossdock.store.signals import Signals
from crossdock.vault import Vault
from crossdock.watch.bulk import BulkWork, Deed
from crossdock.watch.bulk_deeds import BACKLOG, Canceling, Comparing, Replaying


class Parts(Protocol):
    """The parts of a node that use cases work with."""

    settings: Settings
    sources: Sources
    store: Store
    vault: Vault
    signals: Signals
    catalog: Catalog
    functions: Functions
    guard: Guard
    caller: HttpCaller
    outside: Outside
    answers: Answers
    run: RunStage
    deliver: DeliverStage


def offer(node: Parts, admins: Sequence[AdminToken]) -> tuple[UseCases, BulkWork]:
    """The use cases, and the work on bulk jobs that some of them begin."""
    store, catalog, settings = node.store, node.catalog, node.settings
    site = settings.url_at(settings.port)
    tokens = Tokens(store, system_now, admins, node.signals)
    sessions = Sessions(store, Passwords(), system_now)
    rules = Rules(partial(compile_workflow, functions=node.functions), node.guard.check_url)
    ports = IntegrationPorts(store, node.vault, catalog, rules, system_now, site)
    stages = Stages(node.run, node.deliver, node.answers.announce_to_all, node.signals)
    integrations = Integrations(ports)
    connections, webhooks = _connections(node), _webhooks(node)
    workflows, trials, traffic = Workflows(ports, integrations), _trials(node, rules), Traffic(store, system_now)
    health = HealthPorts(store, integrations, system_now, stages, settings.notification_damping)
    cases = UseCases(
        integrations=integrations,
        health=HealthOfIntegrations(health),
        keys=Keys(KeyPorts(store, catalog, system_now)),
        workflows=workflows,
        drafts=Drafts(ports, integrations, workflows),
        trials=trials,
        tokens=tokens,
        sessions=sessions,
        users=Users(UserPorts(store, sessions, system_now, site)),
        workspaces=Workspaces(WorkspacePorts(store, catalog, tokens, system_now)),
        events=Events(store, catalog, system_now, stages),
        lanes=Lanes(store, system_now, stages),
        deliveries=Deliveries(store, system_now, stages),
        connections=connections,
        webhooks=webhooks,
        bulk_jobs=BulkJobs(ports, integrations, stages),
        master_key=MasterKey(store, node.vault, system_now),
        stats=Stats(store, system_now),
        traffic=traffic,
        overview=Overview(store, integrations, traffic, system_now),
        live=Live(store, traffic, system_now),
        fleet=Fleet(store, node.sources, settings.lease_ttl),
        apply=Apply(integrations, connections, webhooks),
        audit=Audit(store),
        settings=settings.describe,
    )
    return cases, BulkWork(store, _deeds(node, stages, trials), sources=node.sources)


def _trials(node: Parts, rules: Rules) -> Trials:
    runner = TrialRunner(node.outside, node.catalog, system_now)
    compile_trial = rules.compile_workflow
    return Trials(
        TrialPorts(node.store, node.catalog, system_now, compile_trial, runner, preview_answer, preview_reply)
    )


def _deeds(node: Parts, stages: Stages, trials: Trials) -> dict[BulkKind, Deed]:
    """What this node can do to many events."""
    most = min(BACKLOG, node.settings.queue_limit)
    return {
        BulkKind.REPLAY: Replaying(node.store, node.catalog, stages, clock=system_now, backlog_limit=most),
        BulkKind.CANCEL: Canceling(node.store, stages, clock=system_now),
        BulkKind.WHAT_IF: Comparing(node.store, trials.compare),
    }


def _connections(node: Parts) -> Connections:
    rules = ConnectionRules(node.guard.check_url, node.settings.sqlite_path)
    trying = Trying(node.outside.http, node.outside.sql)
    return Connections(ConnectionPorts(node.store, node.vault, node.catalog, rules, system_now, trying.test))


def _webhooks(node: Parts) -> Webhooks:
    rules, sender = WebhookRules(node.guard.check_url), NoticeSender(node.caller)
    return Webhooks(WebhookPorts(node.store, node.vault, node.catalog, rules, system_now, sender))
