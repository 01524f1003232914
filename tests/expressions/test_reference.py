"""The reference of expressions says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from crossdock.expressions import compile_value
from crossdock.expressions.filters import FILTERS, FUNCTIONS, TESTS
from crossdock.expressions.source import MAX_NESTING, TAGS
from crossdock.model.expression import NAMES

REFERENCE = (Path(__file__).parents[2] / "docs/reference/expressions.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return REFERENCE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


EXAMPLES = re.findall(r"^\| `(.*[{%].*)` \| `(.*)` \|$", section("Values"), re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) > 15


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_the_examples_hold(text: str, value: str):
    seen = re.search(r"see `(.*)`", section("Values"))
    assert seen is not None

    found = compile_value(text.replace("\\|", "|")).evaluate(json.loads(seen[1]))

    assert found == json.loads(value)


def test_every_name_is_explained():
    assert re.findall(r"^\| `(\w+)` \|", section("Names"), re.MULTILINE) == list(NAMES)


def test_every_filter_is_listed():
    rows = [row.split("|")[1] for row in section("Filters").splitlines() if row.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)", row)}

    assert listed == FILTERS


def test_every_test_function_and_block_is_listed():
    listed = set(re.findall(r"`(\w+)`", section("Tests").partition("\n\n")[0].partition(":")[2]))

    assert listed == TESTS
    assert all(f"`{name}(...)`" in section("Tests") for name in FUNCTIONS)
    assert all(f"{{% {tag} %}}" in section("Tests") for tag in TAGS if not tag.startswith("end"))


def test_the_limits_are_those_of_the_code():
    assert f"| nesting of brackets and of blocks | {MAX_NESTING} |" in REFERENCE
