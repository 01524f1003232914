"""Documents as YAML, as other tools than ours read them."""

from __future__ import annotations

import io

import pytest
from ruamel.yaml import YAML

from crossdock.manage.yaml_text import yaml_text
from crossdock.model.outcome import Json

TREES = [
    {"from": "22:00", "until": "6:30", "at": "12:30:45", "sign": "-1:20"},
    {"answers": ["on", "off", "yes", "No", "y", "n", "true", "null", "~"]},
    {key: {key: [1]} for key in ("a\x85b", "yes", "1_0", "a\nb", "\u2028", " spaced ", "?", "- a", "<<")},
    {"numbers": ["10", "1e3", "0x1f", "1_000"], "text": "a: b\nc\n", "odd": " x\t", "none": None},
]


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("tree", TREES)
def test_what_is_written_is_read_as_it_was_in_both_versions(tree: Json, version: str) -> None:
    reader = YAML(typ="safe", pure=True)
    reader.version = version

    assert reader.load(io.StringIO(yaml_text(tree))) == tree
