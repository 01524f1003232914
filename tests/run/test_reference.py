"""The reference of steps says what is so. The guides are followed in `tests/docs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from crossdock.run.compile import COMMON_KEYS, compile_workflow
from crossdock.run.steps import KINDS

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference/steps.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def parsed(text: str) -> Any:
    return YAML(typ="safe").load(text)


@pytest.mark.parametrize("block", blocks(REFERENCE, "yaml"))
def test_every_example_of_a_step_compiles(block: str):
    assert compile_workflow(parsed(block)).steps


def test_every_kind_has_a_section_with_an_example():
    titles = re.findall(r"^## (\w+)$", REFERENCE, re.MULTILINE)
    shown = {kind for block in blocks(REFERENCE, "yaml") for step in parsed(block)["steps"] for kind in step}

    assert set(titles) == set(KINDS)
    assert set(KINDS) <= shown


def test_every_common_field_is_explained():
    common = REFERENCE.partition("## Every step")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", common, re.MULTILINE) == list(COMMON_KEYS)
