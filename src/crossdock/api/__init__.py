"""The admin API: `/api/v1`, its OpenAPI document and its pages.

A route reads the request, calls one use case of `manage`, and answers; rights, checks and words are there, not here.
"""

from __future__ import annotations

from fastapi import FastAPI

from crossdock.api.answering import add_problems
from crossdock.api.docs import add_docs
from crossdock.api.routes import (
    audit,
    bulk_jobs,
    configuration,
    connections,
    events,
    health,
    installation,
    integrations,
    lanes,
    traffic,
    trials,
    users,
    webhooks,
    workflows,
    workspaces,
)
from crossdock.manage.use_cases import UseCases

ROUTES = (
    integrations.routes,
    health.routes,
    workflows.routes,
    trials.routes,
    lanes.routes,
    traffic.routes,  # before events: it has fixed names where those have ids
    events.routes,
    bulk_jobs.routes,
    connections.routes,
    webhooks.routes,
    configuration.routes,
    audit.routes,
    installation.routes,
    users.routes,
    workspaces.routes,
)


def create_api(use_cases: UseCases) -> FastAPI:
    """The ASGI application that answers everything under `/api`."""
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    api.state.use_cases = use_cases
    add_problems(api)
    add_docs(api)
    for router in ROUTES:
        api.router.routes.extend(router.routes)
    return api


__all__ = ["ROUTES", "UseCases", "create_api"]
