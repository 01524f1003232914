"""`crossdock workflow` against a server that answers as told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answering, Command

WORKFLOW = "/api/v1/integrations/int_1/workflow"
STEPS = {"steps": [{"id": "q", "sql": {"statement": "SELECT 1\nFROM t\n"}}]}


@pytest.fixture
def orders(server: Answering) -> Answering:
    server.answers["GET /api/v1/integrations/int_1"] = (200, {"id": "int_1", "name": "Orders", "path": "orders"})
    return server


def version(number: int, **more: Any) -> dict[str, Any]:
    made = {"created_at": "2026-11-22T14:03:12.204Z", "created_by": "alice"}
    return {"number": number, "published": number == 2, **made, "document": STEPS, **more}


def a_draft(*problems: dict[str, str]) -> dict[str, Any]:
    return {"document": STEPS, "based_on": 2, "revision": 7, "problems": list(problems)}


def test_a_version_is_shown_as_people_write_it(crossdock: Command, orders: Answering) -> None:
    orders.answers[f"GET {WORKFLOW}/versions/1"] = (200, version(1))

    ended = crossdock("workflow", "show", "int_1", "--version", "1", "--url", orders.url)

    assert ended.out == "steps:\n  - id: q\n    sql:\n      statement: |\n        SELECT 1\n        FROM t\n"


def test_versions_are_a_table(crossdock: Command, orders: Answering) -> None:
    orders.answers[f"GET {WORKFLOW}/versions"] = (200, {"items": [version(2), version(1)], "next": None})

    ended = crossdock("workflow", "versions", "int_1", "--url", orders.url)

    assert [line.split()[:2] for line in ended.out.splitlines()[1:]] == [
        ["2", "published"],
        ["1", "2026-11-22T14:03:12.204Z"],
    ]


def test_the_history_says_what_was_rolled_back(crossdock: Command, orders: Answering) -> None:
    told = {"published_at": "2026-11-22T14:03:12.204Z", "published_by": "alice"}
    items = [{"number": 1, "rolled_back": True, **told}, {"number": 0, "rolled_back": False, **told}]
    orders.answers[f"GET {WORKFLOW}/publications"] = (200, {"items": items, "next": None})

    ended = crossdock("workflow", "history", "int_1", "--url", orders.url)

    assert [line.split()[1:] for line in ended.out.splitlines()[1:]] == [
        ["1", "alice", "rolled", "back"],
        ["none", "alice"],
    ]


def test_differences_are_told_in_steps_and_lines(crossdock: Command, orders: Answering) -> None:
    place = {"path": "lines.a", "branch": "", "position": 0}
    moved = {"change": "moved", "path": "a", "type": "http", "before": place, "fields": [{"field": "http.url"}]}
    found = {"from": "version 1", "to": "draft", "same": False, "steps": [moved], "fields": [{"field": "notes"}]}
    orders.answers[f"GET {WORKFLOW}/differences?from=1&to=draft"] = (
        200,
        {**found, "text": "--- version 1\n-old\n+new\n"},
    )

    ended = crossdock("workflow", "diff", "int_1", "1", "--url", orders.url)

    assert ended.out.splitlines() == [
        "> a (http) moved from lines.a: http.url", "~ notes changed", "", "--- version 1", "-old", "+new",
    ]  # fmt: skip


def test_what_is_the_same_is_said(crossdock: Command, orders: Answering) -> None:
    found = {"from": "version 2", "to": "draft", "same": True, "steps": [], "fields": [], "text": ""}
    orders.answers[f"GET {WORKFLOW}/differences?from=published&to=draft"] = (200, found)

    ended = crossdock("workflow", "diff", "int_1", "--url", orders.url)

    assert ended.out == "No difference between version 2 and draft.\n"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("publish", "int_1", "2"), f"POST {WORKFLOW}/versions/2/publish"),
        (("rollback", "int_1"), f"POST {WORKFLOW}/rollback"),
        (("draft", "publish", "int_1"), f"POST {WORKFLOW}/draft/publish"),
    ],
)
def test_publishing_says_which_version_counts_now(
    crossdock: Command, orders: Answering, words: tuple[str, ...], asked: str
) -> None:
    orders.answers[asked] = (200, version(2))

    assert crossdock("workflow", *words, "--url", orders.url).out == "Version 2 is published.\n"


def test_publishing_may_be_forced(crossdock: Command, orders: Answering) -> None:
    orders.answers[f"POST {WORKFLOW}/draft/publish"] = (200, version(3))

    crossdock("workflow", "draft", "publish", "int_1", "--force", "--url", orders.url)

    assert orders.asked[-1][2] == {"force": True}


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n- {id: a, transform: {day: 2026-01-02}}\n",
        "kind: Integration\nspec: {name: Orders, workflow: {steps: [{id: a, transform: {day: 2026-01-02}}]}}\n",
        '{"steps": [{"id": "a", "transform": {"day": "2026-01-02"}}]}',
    ],
)
def test_a_draft_is_saved_from_a_file(crossdock: Command, orders: Answering, tmp_path: Path, text: str) -> None:
    (tmp_path / "w.yaml").write_text(text)
    problem = {"field": "workflow.steps[0].id", "message": "is odd"}
    orders.answers[f"PUT {WORKFLOW}/draft"] = (200, a_draft(problem))

    ended = crossdock("workflow", "draft", "save", "int_1", tmp_path / "w.yaml", "--revision", 0, "--url", orders.url)

    document = {"steps": [{"id": "a", "transform": {"day": "2026-01-02"}}]}
    assert orders.asked[-1][2] == {"document": document, "based_on": None, "revision": 0}
    assert ended.out == "The draft is saved (revision 7, made from version 2).\n"
    assert ended.err == "workflow.steps[0].id: is odd\nIt can't be published like this.\n"


def test_a_draft_is_read_from_the_standard_input(
    crossdock: Command, orders: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.answers[f"PUT {WORKFLOW}/draft"] = (200, a_draft())
    monkeypatch.setattr("sys.stdin", io.StringIO("steps: []\n"))

    assert crossdock("workflow", "draft", "save", "int_1", "-", "--url", orders.url).code == 0
    assert orders.asked[-1][2]["document"] == {"steps": []}


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "kind: Integration\nspec: {name: x}\n", "? [1]\n: 2\n"])
def test_a_file_without_a_workflow_is_refused(crossdock: Command, orders: Answering, tmp_path: Path, text: str) -> None:
    (tmp_path / "w.yaml").write_text(text)

    ended = crossdock("workflow", "draft", "save", "int_1", tmp_path / "w.yaml", "--url", orders.url)

    assert ended.code == 1
    assert "w.yaml" in ended.err
    assert orders.asked == []


def test_a_draft_is_shown_with_what_keeps_it_back_beside_it(crossdock: Command, orders: Answering) -> None:
    orders.answers[f"GET {WORKFLOW}/draft"] = (200, a_draft({"field": "workflow.steps[0]", "message": "is odd"}))

    ended = crossdock("workflow", "draft", "show", "int_1", "--url", orders.url)

    assert ended.out.startswith("steps:\n")
    assert "workflow.steps[0]: is odd" in ended.err


def test_a_draft_is_discarded(crossdock: Command, orders: Answering) -> None:
    orders.answers[f"DELETE {WORKFLOW}/draft"] = (204, b"")

    assert crossdock("workflow", "draft", "discard", "int_1", "--url", orders.url).out == "The draft is gone.\n"
