"""All use cases, as the API and the pages are handed them when the program is put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crossdock.manage.apply import Apply
from crossdock.manage.audit import Audit
from crossdock.manage.bulk_jobs import BulkJobs
from crossdock.manage.connections import Connections
from crossdock.manage.deliveries import Deliveries
from crossdock.manage.drafts import Drafts
from crossdock.manage.events import Events
from crossdock.manage.fleet import Fleet
from crossdock.manage.health import HealthOfIntegrations
from crossdock.manage.integrations import Integrations
from crossdock.manage.keys import Keys
from crossdock.manage.lanes import Lanes
from crossdock.manage.live import Live
from crossdock.manage.master_key import MasterKey
from crossdock.manage.overview import Overview
from crossdock.manage.sessions import Sessions
from crossdock.manage.stats import Stats
from crossdock.manage.tokens import Tokens
from crossdock.manage.traffic import Traffic
from crossdock.manage.trials import Trials
from crossdock.manage.users import Users
from crossdock.manage.webhooks import Webhooks
from crossdock.manage.workflows import Workflows
from crossdock.manage.workspaces import Workspaces
from crossdock.model.outcome import Json


@dataclass(frozen=True, slots=True)
class UseCases:
    integrations: Integrations
    health: HealthOfIntegrations
    keys: Keys
    workflows: Workflows
    drafts: Drafts
    trials: Trials
    tokens: Tokens
    sessions: Sessions
    users: Users
    workspaces: Workspaces
    events: Events
    lanes: Lanes
    deliveries: Deliveries
    connections: Connections
    webhooks: Webhooks
    bulk_jobs: BulkJobs
    master_key: MasterKey
    stats: Stats
    traffic: Traffic
    overview: Overview
    live: Live
    fleet: Fleet
    apply: Apply
    audit: Audit
    settings: Callable[[], list[Json]]
    """Every setting: {name, value, default, help, secret}; secrets only say whether they are set."""
