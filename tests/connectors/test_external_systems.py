"""The catalog of external system types agrees with the integration document that it explains."""

from __future__ import annotations

import pytest

from crossdock.connectors import EXTERNAL_SYSTEMS, ExternalSystem
from crossdock.manage.documents import default_document
from crossdock.manage.integrations import external_systems
from crossdock.model.outcome import Json

SYSTEMS = list(EXTERNAL_SYSTEMS.values())
each_system = pytest.mark.parametrize("system", SYSTEMS, ids=[system.type for system in SYSTEMS])


def value_at(document: Json, path: str) -> Json:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def test_the_three_types_are_offered_in_their_order() -> None:
    assert [system["title"] for system in external_systems()] == [
        "Event Webhook Async",
        "Event Webhook Sync",
        "Webhook Trigger",
    ]


@each_system
def test_a_type_explains_itself(system: ExternalSystem) -> None:
    document = system.document()

    assert document["summary"]
    assert document["guide"].startswith(f"# {system.title}")
    assert all(field["help"] and field["label"] for field in document["fields"])
    assert len({field["name"] for field in document["fields"]}) == len(document["fields"])


@each_system
def test_told_defaults_are_the_real_ones(system: ExternalSystem) -> None:
    real = default_document(system.type)
    made = {**real, "reply": {"method": "POST", "headers": {}}}
    made["trigger"] = {**real["trigger"], "deduplicate": {"within": "PT24H"}}
    # a waiting caller's limit is applied when the call comes, so the document has none
    told = {f.name: f.default for f in system.fields if f.default is not None and f.name != "trigger.request_timeout"}
    told_health = told.pop("health")

    assert {name: value_at(made, name) for name in told} == told
    assert told_health.items() <= real["health"].items()


@each_system
def test_the_sample_fits_the_preset(system: ExternalSystem) -> None:
    trigger = default_document(system.type)["trigger"]

    assert system.sample.method in trigger["methods"]
    assert system.sample.curl("http://127.0.0.1:8420/hooks/default/x").startswith(
        "curl -i -X POST 'http" if system.sample.query else "curl -i -X POST http"
    )


def test_a_sample_lets_the_shell_fill_in_the_credential_and_nothing_else() -> None:
    curl = EXTERNAL_SYSTEMS["event-webhook-async"].sample.curl("http://127.0.0.1/hooks/default/it's")

    assert '-H "X-Platform-Token: $PLATFORM_TOKEN"' in curl
    assert """'http://127.0.0.1/hooks/default/it'"'"'s'""" in curl
