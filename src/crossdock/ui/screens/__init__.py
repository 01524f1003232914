"""The screens of the workspace: a module each, with its handlers and the routes that lead to them."""

from __future__ import annotations

from crossdock.ui.screens import (
    bulk_jobs,
    connections,
    deliveries,
    event,
    events,
    integration,
    integration_form,
    integrations,
    live,
    overview,
    replay,
    settings,
    webhooks,
    workflow,
)
from crossdock.ui.visit import ScreenRoute

SCREENS: tuple[tuple[ScreenRoute, ...], ...] = (
    overview.routes,
    live.routes,
    integrations.routes,
    integration_form.routes,
    integration.routes,
    events.routes,
    event.routes,
    replay.routes,
    deliveries.routes,
    bulk_jobs.routes,
    webhooks.routes,
    connections.routes,
    settings.routes,
    workflow.routes,
)

__all__ = ["SCREENS"]
