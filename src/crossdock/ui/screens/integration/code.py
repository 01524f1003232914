"""An integration as a file: to read, to keep, and to change with a look at the difference before it is saved."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from crossdock.manage.apply import Plan
from crossdock.manage.yaml_text import yaml_text
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.downloads import download
from crossdock.ui.forms import Errors
from crossdock.ui.visit import Visit
from crossdock.ui.yaml_reading import read_yaml

PAGE = "integration/code.html"
FIELD = "yaml"


async def show(visit: Visit) -> Response:
    integration, text = await _document(visit)
    return _page(visit, integration, text)


async def send_file(visit: Visit) -> Response:
    integration, text = await _document(visit)
    return download(text.encode(), f"{integration['path'].replace('/', '-')}.yaml")


async def compare(visit: Visit) -> Response:
    """What the text would change; nothing is saved."""
    visit.actor.require("admin")
    integration, text = await _document(visit)
    typed = visit.sent.raw(FIELD)
    try:
        plan = await _plan(visit, integration, typed)
    except Invalid as error:
        return _page(visit, integration, text, 422, typed=typed, errors=Errors.of(error))
    return _page(visit, integration, text, typed=typed, differences=_differences(plan))


async def apply(visit: Visit) -> Response:
    """Save what the text says, if the integration is still what the difference was shown for."""
    visit.actor.require("admin")
    integration, text = await _document(visit)
    typed = visit.sent.raw(FIELD)
    try:
        plan = await _plan(visit, integration, typed)
    except Invalid as error:
        return _page(visit, integration, text, 422, typed=typed, errors=Errors.of(error))
    if visit.sent.text("revision") != str(integration["revision"]):
        return _page(visit, integration, text, 409, typed=typed, differences=_differences(plan), is_overtaken=True)
    await visit.cases.apply.carry_out(visit.actor, plan)
    return visit.go(visit.path("integrations", integration["id"], "code"), f"{integration['name']} was saved.")


async def _document(visit: Visit) -> tuple[Json, str]:
    integration = await visit.cases.integrations.show(visit.actor, visit.parameter("integration_id"))
    return integration, yaml_text(await visit.cases.apply.export_integration(visit.actor, integration["id"]))


async def _plan(visit: Visit, integration: Json, typed: str) -> Plan:
    """What would be done to this integration. Invalid when the text is about anything else."""
    document = await read_yaml(typed, FIELD)
    if not isinstance(document, dict) or document.get("kind") != "Integration":
        raise _wrong("must be one document of the kind Integration")
    spec = document.get("spec", document)
    if not isinstance(spec, dict) or spec.get("name") != integration["name"]:
        raise _wrong(f"must keep the name {integration['name']}; the Settings tab renames an integration")
    return await visit.cases.apply.plan(visit.actor, [document], {})


def _wrong(message: str) -> Invalid:
    return Invalid(f"the text {message}", (FieldError(FIELD, message),))


def _differences(plan: Plan) -> list[dict[str, str]]:
    found = plan.steps[0].differences
    return [{"field": one.field, "before": _text(one.before), "after": _text(one.after)} for one in found]


def _text(value: Json) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _page(visit: Visit, integration: Json, text: str, status: int = 200, **names: Any) -> Response:
    given: dict[str, Any] = {"errors": Errors(), "differences": None, "typed": text, "is_overtaken": False, **names}
    return visit.page(PAGE, status, integration=integration, text=text, **given)
