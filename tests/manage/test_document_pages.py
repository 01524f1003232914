"""The pages about documents: their examples are accepted, their tables say what the program has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.manage.connection_documents import KINDS, ConnectionRules, read_connection_document
from crossdock.manage.documents import HealthPart, IntegrationPart, RetryPart, read_document
from crossdock.manage.webhook_documents import (
    FiltersPart,
    NotificationWebhookPart,
    QuietHoursPart,
    WebhookRules,
    read_webhook_document,
)
from crossdock.manage.webhook_names import with_ids
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from tests.manage.conftest import RULES, trigger
from tests.support.connections import SQLITE_FOLDER
from tests.support.webhooks import SIGNING_SECRET

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference" / "integration-document.md"
CONNECTION_REFERENCE = DOCS / "reference" / "connection-document.md"
WEBHOOK_REFERENCE = DOCS / "reference" / "notification-webhook-document.md"
PAGES = (REFERENCE, DOCS / "guides" / "api-keys.md", DOCS / "guides" / "endpoints.md")


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a document with its default, which is None where there is none, and "" for a part of its own."""
    for name, field in model.model_fields.items():
        inner = part_in(field.annotation)
        default = None if field.is_required() else field.default
        yield prefix + name, "" if isinstance(default, BaseModel) else default
        if inner is not None:
            yield from fields(inner, f"{prefix}{name}.")


def part_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := part_in(part)) is not None), None)


def written_fields(text: str) -> dict[str, str]:
    """The rows of a table: field and default, both without their quotes."""
    rows = re.findall(r"^\| `([a-z_.]+)` \| (`[^|]*`|by type|) ?\|", text, re.MULTILINE)
    return {name: default.strip("`") for name, default in rows}


def shown(value: Any) -> str:
    """A default as a table has it."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def test_the_table_has_every_field() -> None:
    written = written_fields(REFERENCE.read_text(encoding="utf-8"))

    assert list(written) == [name for name, _ in fields(IntegrationPart)]


def test_the_table_has_the_real_defaults() -> None:
    table = written_fields(REFERENCE.read_text(encoding="utf-8"))
    written = {name: default for name, default in table.items() if default != "by type"}

    assert written == {name: shown(default) for name, default in fields(IntegrationPart) if name in written}


@pytest.mark.parametrize(("heading", "kind"), [("HTTP", "http"), ("SQL", "sql")])
def test_the_tables_of_connections_have_every_field_with_its_default(heading: str, kind: str) -> None:
    section = CONNECTION_REFERENCE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    own = {name: default for name, default in fields(KINDS[kind]) if not name.startswith("authentication.")}

    assert written_fields(section) == {name: shown(default) for name, default in own.items()}


@pytest.mark.parametrize("page", [CONNECTION_REFERENCE, DOCS / "guides" / "connections.md"], ids=lambda page: page.stem)
def test_every_connection_that_is_shown_is_accepted(page: Path) -> None:
    rules = ConnectionRules(Guard().check_url, SQLITE_FOLDER)

    drafts = [read_connection_document(example, rules) for example in examples(page)]

    assert {draft.kind for draft in drafts} == {"http", "sql"}


def webhook_specs(page: Path) -> list[Json]:
    """The notification webhooks that a page shows as YAML, with ids in the place of names."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    filled = [re.sub(r"\$\{\w+_SIGNING_SECRET\}", SIGNING_SECRET, block) for block in blocks]
    filled = [re.sub(r"\$\{\w+_URL\}", "https://x.example", block) for block in filled]
    yaml = YAML(typ="safe")
    documents = [one for block in filled for one in yaml.load_all(re.sub(r"\$\{\w+\}", "some-value", block))]
    specs = [one["spec"] for one in documents if one["kind"] == "NotificationWebhook"]
    return [with_ids(spec, {"int_1": "ERP"}, None) for spec in specs]


@pytest.mark.parametrize("page", [WEBHOOK_REFERENCE, DOCS / "guides" / "notifications.md"], ids=lambda page: page.stem)
def test_every_webhook_that_is_shown_is_accepted(page: Path) -> None:
    rules = WebhookRules(Guard().check_url, {"int_1": "ERP"})

    assert [read_webhook_document(spec, rules).name for spec in webhook_specs(page)]


def test_the_table_of_webhooks_has_every_field_with_its_default() -> None:
    section = WEBHOOK_REFERENCE.read_text(encoding="utf-8").split("\n## Fields\n")[1].split("\n## ")[0]
    own = {
        name.replace("from_", "from"): default
        for name, default in fields(NotificationWebhookPart)
        if not name.startswith("authentication.")
    }

    rows = re.findall(r"^\| `([a-z_.]+)` \| (`[^|]*`|) ?\|", section, re.MULTILINE)
    written = {name: default.strip("`").replace('"', "'") for name, default in rows}
    assert written == {name: shown(default) for name, default in own.items()}


def test_the_complete_webhook_leaves_out_no_field() -> None:
    [spec] = webhook_specs(WEBHOOK_REFERENCE)

    assert spec.keys() == NotificationWebhookPart.model_fields.keys()
    assert spec["quiet_hours"].keys() == {name.rstrip("_") for name in QuietHoursPart.model_fields}
    assert spec["filters"].keys() == FiltersPart.model_fields.keys()


def test_the_complete_connections_leave_out_no_field() -> None:
    http, sql = examples(CONNECTION_REFERENCE)

    assert (http.keys(), sql.keys()) == (KINDS["http"].model_fields.keys(), KINDS["sql"].model_fields.keys())


def test_the_table_has_every_type() -> None:
    text = REFERENCE.read_text(encoding="utf-8")

    for system in EXTERNAL_SYSTEMS.values():
        preset = system.preset["trigger"]
        methods, mode = ", ".join(preset["methods"]), preset["authentication"]["mode"]
        assert f"| `{system.type}` | {methods} | `{mode}` | `{preset['response_mode']}` |" in text


def examples(page: Path) -> list[Json]:
    """The specs of a page's YAML examples; a lone trigger becomes one of a webhook trigger."""
    yaml = YAML(typ="safe")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    filled = [
        re.sub(r"\$\{\w+\}", "some-value", re.sub(r"\$\{\w+_URL\}", "https://x.example", block)) for block in blocks
    ]
    documents = [document for block in filled for document in yaml.load_all(block)]
    return [document["spec"] if "spec" in document else trigger(**document) for document in documents]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_is_accepted(page: Path) -> None:
    drafts = [read_document(example, RULES) for example in examples(page)]

    assert drafts


def test_the_complete_example_leaves_out_no_field() -> None:
    example = examples(REFERENCE)[0]

    assert example.keys() == IntegrationPart.model_fields.keys()
    assert example["retry"].keys() == RetryPart.model_fields.keys()
    assert example["health"].keys() == HealthPart.model_fields.keys()
    trigger_part = part_in(IntegrationPart.model_fields["trigger"].annotation)
    assert trigger_part is not None
    assert example["trigger"].keys() == trigger_part.model_fields.keys()
