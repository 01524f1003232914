"""The examples of the reference are what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from crossdock.model.expression import TEMPLATE_BYTES
from crossdock.notices import payload, template
from crossdock.notices.payload import mock_payload
from crossdock.notices.template import TemplateRefused, compile_template, load_template

DOCS = Path(__file__).parents[2] / "docs/reference"
REFERENCE = (DOCS / "notification-templates.md").read_text(encoding="utf-8")
PAYLOAD_PAGE = (DOCS / "notification-payload.md").read_text(encoding="utf-8")
NAMES = json.loads(re.search(r"These examples see `(\{.*\})`", REFERENCE)[1])  # type: ignore[index]
ROWS = [
    (shown.replace("\\|", "|"), body)
    for shown, body in re.findall(r"^\| `(.+?)` \| `([\[{].+)` \|$", REFERENCE, re.MULTILINE)
]


@pytest.mark.parametrize(("shown", "body"), ROWS)
def test_an_example_gives_what_is_said(shown: str, body: str) -> None:
    assert json.loads(load_template(shown).render(NAMES, {})) == json.loads(body)


def test_there_are_examples() -> None:
    assert len(ROWS) >= 10


def test_the_first_example_can_be_saved() -> None:
    text = re.search(r"```json\n(.*?)```", REFERENCE, re.DOTALL)[1]  # type: ignore[index]

    body = json.loads(compile_template(text).render(mock_payload(0), {}))

    assert body["count"] == len(body["issues"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1,}',
        '{"text": "{{ data.nam }}"}',
        '{"text": "{{ data.issues.status }}"}',
        '{"text": "{{ data.issues[0].message }}"}',
        '{"key": "{{ secrets.routing_kye }}"}',
    ],
)
def test_a_refusal_is_worded_as_the_reference_says(text: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        compile_template(text, ["routing_key"])

    assert str(refused.value) in REFERENCE.splitlines()


def test_the_limits_are_those_of_the_reference() -> None:
    assert f"| a template | {TEMPLATE_BYTES // 1024} KiB, nested {template.MAX_DEPTH} deep |" in REFERENCE
    assert f"| what it gives | {template.OUTPUT_BYTES // 1024**2} MiB |" in REFERENCE
    assert f"| time for one rendering | {template.RENDER_SECONDS:g} s |" in REFERENCE
    assert f"a message has {payload.MESSAGE_CHARACTERS:,} characters at most" in PAYLOAD_PAGE
    assert f"`data` has {payload.MAX_ISSUES} issues, a digest has {payload.MAX_CHANGES} changes" in PAYLOAD_PAGE
    assert f"{payload.CHANGES_CHARACTERS:,} characters of messages" in PAYLOAD_PAGE
