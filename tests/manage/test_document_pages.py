"""The pages about the integration document: their examples are accepted, their tables say what the program has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from crossdock.connectors import EXTERNAL_SYSTEMS
from crossdock.manage.documents import HealthPart, IntegrationPart, RetryPart, read_document
from crossdock.model.outcome import Json
from tests.manage.conftest import RULES, trigger

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference" / "integration-document.md"
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


def written_fields() -> dict[str, str]:
    """The rows of the table: field and default, both without their quotes."""
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (`[^|]*`|by type|) ?\|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: default.strip("`") for name, default in rows}


def test_the_table_has_every_field() -> None:
    assert list(written_fields()) == [name for name, _ in fields(IntegrationPart)]


def test_the_table_has_the_real_defaults() -> None:
    written = {name: default for name, default in written_fields().items() if default != "by type"}

    def shown(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)

    assert written == {name: shown(default) for name, default in fields(IntegrationPart) if name in written}


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
    documents = [yaml.load(re.sub(r"\$\{\w+\}", "some-value", block)) for block in blocks]
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
