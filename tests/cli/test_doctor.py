"""What `crossdock doctor` makes of what it sees."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crossdock.cli.doctor import (
    judge_clock,
    judge_database,
    judge_exposure,
    judge_targets,
)
from crossdock.cli.findings import Finding
from crossdock.clock import system_now
from crossdock.model.time import later
from crossdock.settings import load_settings
from crossdock.store.inspect import DatabaseFacts
from crossdock.store.migrate import LATEST_REVISION
from crossdock.vault import load_vault
from tests.cli.conftest import Command

GOOD = DatabaseFacts("sqlite", "x.db", "3.53.4", durability="wal/full", revision="0001", latest_revision="0001")


def grades(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.subject: finding.grade for finding in findings}


def test_a_good_database_is_fine() -> None:
    assert set(grades(judge_database(GOOD)).values()) == {"ok"}


@pytest.mark.parametrize(
    ("change", "subject", "grade"),
    [
        ({"problem": "connection refused"}, "database", "error"),
        ({"durability": "delete/full"}, "durability", "error"),
        ({"durability": "wal/normal"}, "durability", "error"),
        ({"dialect": "postgresql", "durability": "off"}, "durability", "error"),
        ({"revision": None}, "tables", "warning"),
        ({"revision": "0000"}, "tables", "error"),
        ({"revision": "9999"}, "tables", "error"),
        ({"revision": "9999", "is_shared": True}, "tables", "warning"),
        ({"exists": False}, "database", "ok"),
    ],
)
def test_what_is_wrong_with_a_database_is_graded(change: dict[str, object], subject: str, grade: str) -> None:
    findings = list(judge_database(replace(GOOD, **change)))  # type: ignore[arg-type]

    assert grades(findings)[subject] == grade
    assert all(finding.advice for finding in findings if finding.grade != "ok")


def test_a_clock_that_runs_apart_is_told() -> None:
    now = system_now()

    assert grades(judge_clock(GOOD, now, now)) == {"clock": "ok"}
    assert grades(judge_clock(replace(GOOD, clock=later(now, 30)), now, now)) == {"clock": "warning"}
    assert grades(judge_clock(GOOD, 0, None)) == {"clock": "error"}


@pytest.mark.parametrize(
    ("options", "grade"),
    [
        ({}, "ok"),
        ({"host": "0.0.0.0"}, "warning"),
        ({"host": "0.0.0.0", "base_url": "https://hooks.example.com"}, "ok"),
        ({"host": "0.0.0.0", "tls_cert": "c", "tls_key": "k"}, "ok"),
    ],
)
def test_listening_to_the_world_without_tls_is_a_warning(options: dict[str, object], grade: str) -> None:
    assert grades(judge_exposure(load_settings(options)))["exposure"] == grade


def test_a_token_that_can_be_guessed_is_a_warning() -> None:
    assert grades(judge_exposure(load_settings({"admin_token": "secret"})))["admin_token"] == "warning"


@pytest.mark.parametrize("targets", ["0.0.0.0/0", "::/0", "169.254.0.0/16"])
def test_targets_that_open_too_much_are_a_warning(targets: str) -> None:
    found = [finding.grade for finding in judge_targets(load_settings({"allowed_targets": targets}))]

    assert "warning" in found


def test_an_installation_that_does_not_exist_yet_is_fine(crossdock: Command, tmp_path: Path) -> None:
    ended = crossdock("doctor", "--data", tmp_path / "data", "--json")

    assert ended.code == 0
    assert {finding["grade"] for finding in ended.json} == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_doctor_ends_with_1_when_something_is_wrong(crossdock: Command, tmp_path: Path) -> None:
    load_vault(tmp_path, None)
    (tmp_path / "master.key").chmod(0o644)

    ended = crossdock("doctor", "--data", tmp_path)

    assert ended.code == 1
    assert "chmod 600" in ended.out


def test_a_broken_certificate_is_found(crossdock: Command, tmp_path: Path) -> None:
    (tmp_path / "crossdock.toml").write_text('tls_cert = "missing.pem"\ntls_key = "missing.pem"')

    ended = crossdock("doctor", "--data", tmp_path, "--config", tmp_path / "crossdock.toml")

    assert ended.code == 1
    assert "error    TLS:" in ended.out


def upgrade(data: Path, oldest_program: str) -> None:
    """Make the tables those of a newer program that shares them with programs from `oldest_program` on."""
    said = json.dumps({"tables": "9999", "oldest_program": oldest_program})
    with closing(sqlite3.connect(data / "crossdock.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999', compatible = ?", (said,))


def test_in_the_middle_of_an_upgrade_doctor_warns_and_looks_at_the_work(crossdock: Command, tmp_path: Path) -> None:
    crossdock("migrate", "--data", tmp_path)
    upgrade(tmp_path, oldest_program=LATEST_REVISION)

    ended = crossdock("doctor", "--data", tmp_path, "--json")

    found = {finding["subject"]: finding for finding in ended.json}
    assert ended.code == 0
    assert found["tables"]["grade"] == "warning"
    assert "finish the upgrade" in found["tables"]["advice"]
    assert {"nodes", "unfinished work"} <= found.keys()


def test_tables_that_are_too_new_are_an_error_for_doctor(crossdock: Command, tmp_path: Path) -> None:
    crossdock("migrate", "--data", tmp_path)
    upgrade(tmp_path, oldest_program="9999")

    ended = crossdock("doctor", "--data", tmp_path, "--json")

    found = {finding["subject"]: finding for finding in ended.json}
    assert ended.code == 1
    assert found["tables"]["grade"] == "error"
    assert "start the newer version" in found["tables"]["advice"]


def test_migrate_makes_the_tables_once(crossdock: Command, tmp_path: Path) -> None:
    first = crossdock("migrate", "--data", tmp_path)
    second = crossdock("migrate", "--data", tmp_path)

    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith("Migrated from nothing to ")
    assert second.out.startswith("Already at ")


def test_backup_copies_and_reminds_of_the_key(crossdock: Command, tmp_path: Path) -> None:
    crossdock("migrate", "--data", tmp_path)

    ended = crossdock("backup", tmp_path / "copy.db", "--data", tmp_path)

    assert ended.code == 0
    assert "checked" in ended.out
    assert "master.key" in ended.err
    assert crossdock("backup", tmp_path / "copy.db", "--data", tmp_path).code == 1
