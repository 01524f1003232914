"""Reading YAML files for `crossdock apply`, and showing what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossdock.cli.client import CommandFailed
from crossdock.cli.configuration import read_documents
from tests.cli.conftest import Answering, Command

ORDERS = "kind: Integration\nspec:\n  name: Orders\n  platform_token: ${ERP_TOKEN}\n"


def test_a_file_may_hold_several_documents(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{ORDERS}---\n\n---\n{ORDERS}")

    assert [document["spec"]["name"] for document in read_documents(tmp_path / "all.yaml")] == ["Orders", "Orders"]


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.yaml", "a.yml", "inner/c.yaml", "notes.txt"):
        (tmp_path / name).write_text(f"kind: Integration\nspec: {{name: {name}}}\n")

    assert [document["spec"]["name"] for document in read_documents(tmp_path)] == ["a.yml", "b.yaml", "inner/c.yaml"]


def test_yaml_is_read_as_people_mean_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Integration\nspec:\n  on: yes\n  day: 2026-11-22\n  1: one\n")

    assert list(read_documents(tmp_path)) == [
        {"kind": "Integration", "spec": {"on": "yes", "day": "2026-11-22", "1": "one"}}
    ]


@pytest.mark.parametrize("text", ["kind: [", "just text", "- a\n- b", "spec: {}", "a: !!python/object:os.system {}"])
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)

    with pytest.raises(CommandFailed, match="odd.yaml"):
        list(read_documents(tmp_path / "odd.yaml"))


def test_apply_hands_over_only_the_variables_that_files_name(
    crossdock: Command, server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    monkeypatch.setenv("ERP_TOKEN", "hunter2")
    monkeypatch.setenv("OTHER_TOKEN", "untold")
    server.answers["POST /api/v1/apply"] = (
        200,
        {
            "steps": [
                {
                    "kind": "Integration",
                    "name": "Orders",
                    "action": "change",
                    "differences": [{"field": "status", "before": "disabled", "after": "enabled"}],
                },
                {"kind": "Integration", "name": "Old", "action": "prune", "differences": []},
            ],
            "changes_something": True,
        },
    )

    ended = crossdock("apply", tmp_path, "--prune", "--dry-run", "--url", server.url, "--token", "t")

    assert server.asked[0][2] == {
        "documents": [{"kind": "Integration", "spec": {"name": "Orders", "platform_token": "${ERP_TOKEN}"}}],
        "values": {"ERP_TOKEN": "hunter2"},
        "dry_run": True,
        "prune": True,
    }
    assert ended.out.splitlines() == [
        "~ Integration Orders",
        "    status: disabled -> enabled",
        "- Integration Old",
        "Dry run, nothing was changed: 1 changed, 1 deleted.",
    ]


def test_an_empty_folder_is_no_configuration(crossdock: Command, tmp_path: Path) -> None:
    ended = crossdock("apply", tmp_path, "--prune")

    assert ended.code == 1
    assert "no documents in" in ended.err


def test_export_writes_a_file_for_each_document(crossdock: Command, server: Answering, tmp_path: Path) -> None:
    spec = {"name": "Create order", "path": "erp/Create_Order", "reply": {"headers": {"X": "${A}"}}}
    server.answers["GET /api/v1/export"] = (200, {"documents": [{"kind": "Integration", "spec": spec}]})

    ended = crossdock("export", "--out", tmp_path / "out", "--url", server.url, "--token", "t")

    assert ended.code == 0
    written = tmp_path / "out" / "integration-erp-create-order.yaml"
    assert list(read_documents(written)) == [{"kind": "Integration", "spec": spec}]


def test_documents_whose_names_look_alike_have_files_of_their_own(
    crossdock: Command, server: Answering, tmp_path: Path
) -> None:
    documents = [{"kind": "Connection", "spec": {"name": name}} for name in ("ERP a", "ERP A", "ERP-a")]
    server.answers["GET /api/v1/export"] = (200, {"documents": documents})

    crossdock("export", "--out", tmp_path, "--url", server.url, "--token", "t")

    names = ["connection-erp-a", "connection-erp-a-2", "connection-erp-a-3"]
    assert [next(iter(read_documents(tmp_path / f"{name}.yaml"))) for name in names] == documents
