"""A workflow that was good when it was saved does not stand in the way of other changes later."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from crossdock.manage.documents import Rules
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from tests.manage.conftest import Desk, trigger
from tests.support.held import HeldClock

WORKFLOW: Json = {"steps": [{"id": "call", "python": {"function": "work:do"}}]}


def refuse(workflow: Json, number: int, /, *, connections: Mapping[str, str]) -> object:
    raise Invalid("gone", (FieldError("workflow.steps[0].python.function", "there is no module 'work'"),))


async def test_an_integration_whose_function_vanished_can_be_switched_off(desk: Desk) -> None:
    created = await desk.integrations.create(desk.alice, trigger(status="enabled", workflow=WORKFLOW))
    ports = IntegrationPorts(
        desk.store, desk.vault, desk.catalog, Rules(refuse, lambda url: None), HeldClock(), "https://hooks.example"
    )

    changed = await Integrations(ports).change(desk.alice, created["id"], {"status": "disabled"}, None)

    assert changed["status"] == "disabled"
    with pytest.raises(Invalid):
        await Integrations(ports).change(desk.alice, created["id"], {"workflow": {"steps": [], "notes": "x"}}, None)
