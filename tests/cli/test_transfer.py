"""`crossdock transfer` as an operator meets it: what it says, what it refuses, how it is stopped and killed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crossdock.store.transfer_rows import TABLES
from tests.cli.conftest import Command
from tests.support.filled import VAULT_KEY, filled_database
from tests.support.postgres import ForeignServer
from tests.support.program import SOURCE

pytestmark = pytest.mark.timeout(180)

LIMIT_SECONDS = 60.0


@pytest.fixture(scope="session")
def filled_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "crossdock.db"
    filled_database(path)
    return path


@pytest.fixture(scope="session")
def large_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many bodies that they need several transactions."""
    path = tmp_path_factory.mktemp("large") / "crossdock.db"
    filled_database(path, events=1_500, body_bytes=30_000)
    return path


@dataclass(frozen=True)
class Place:
    """An old installation in a data folder with its key, and a new, empty database."""

    data: Path
    target: str

    @property
    def source(self) -> str:
        return f"sqlite:///{self.data / 'crossdock.db'}"

    @property
    def words(self) -> tuple[str, ...]:
        return ("transfer", "--from", self.source, "--to", self.target, "--data", str(self.data))


@pytest.fixture
def target(postgres: ForeignServer, postgres_template: str) -> Iterator[str]:
    name = postgres.create_database(postgres_template)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def place(filled_template: Path, tmp_path: Path, target: str) -> Place:
    return placed(filled_template, tmp_path, target)


def placed(template: Path, folder: Path, target: str) -> Place:
    data = folder / "data"
    data.mkdir()
    shutil.copy(template, data / "crossdock.db")
    key = data / "master.key"
    key.write_bytes(base64.b64encode(VAULT_KEY) + b"\n")
    key.chmod(0o600)
    return Place(data, target)


def test_a_transfer_says_what_it_did_and_what_comes_next(crossdock: Command, place: Place) -> None:
    ended = crossdock(*place.words)

    assert ended.code == 0, ended.err
    assert f"in {len(TABLES)} tables: the same on both sides" in ended.out
    assert "From now on: crossdock serve --database postgresql://127.0.0.1:" in ended.out
    assert f"{place.source} can't be served any more" in ended.out
    assert "copy event: 40 of 40 rows (100%)" in ended.err
    assert "check event: 40 of 40 rows (100%)" in ended.err


def test_a_transfer_reports_in_json(crossdock: Command, place: Place) -> None:
    report = crossdock(*place.words, "--json").json

    assert report["complete"] is True
    assert report["same"] is True
    assert report["copied_rows"] == report["rows"] == sum(each["target"]["rows"] for each in report["tables"])
    assert report["secrets"] == {"total": 1, "opened": 1}
    assert {each["table"] for each in report["tables"]} == {table.name for table in TABLES}


def test_a_complete_transfer_is_not_done_again(crossdock: Command, place: Place) -> None:
    crossdock(*place.words)

    again = crossdock(*place.words)

    assert again.code == 1
    assert "complete already" in again.err


def test_the_old_database_is_not_served_any_more(crossdock: Command, place: Place) -> None:
    crossdock(*place.words)

    ended = crossdock("serve", "--data", place.data, "--port", 0)

    assert ended.code == 1
    assert "was transferred to postgresql://" in ended.err
    assert "crossdock transfer --release --from" in ended.err


def test_both_sides_are_compared_alone(crossdock: Command, place: Place) -> None:
    crossdock(*place.words)
    same = crossdock(*place.words, "--check")
    with psycopg.connect(place.target) as connection:
        connection.execute("UPDATE event SET body = 'other' WHERE id = (SELECT min(id) FROM event)")
        connection.execute("DELETE FROM dedupe WHERE key = 'k1'")

    differs = crossdock(*place.words, "--check")

    assert same.code == 0
    assert differs.code == 1
    assert "event: 40 rows in the old, 40 in the new database, with different contents" in differs.out
    assert "dedupe: 40 rows in the old, 39 in the new database" in differs.out
    assert "do not hold the same" in differs.err


def test_rows_that_differ_keep_a_transfer_from_completing(crossdock: Command, place: Place) -> None:
    with psycopg.connect(place.target) as connection:
        connection.execute("ALTER TABLE rejection ALTER COLUMN reason SET DATA TYPE varchar")
        connection.execute(
            "CREATE FUNCTION other() RETURNS trigger AS 'BEGIN NEW.path = ''x''; RETURN NEW; END' LANGUAGE plpgsql"
        )
        connection.execute("CREATE TRIGGER other BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION other()")

    ended = crossdock(*place.words)

    assert ended.code == 1
    assert "event: 40 rows in the old, 40 in the new database, with different contents" in ended.out
    assert "Complete" not in ended.out
    assert crossdock("serve", "--data", place.data, "--database", place.target).code == 1


def test_a_check_makes_nothing(crossdock: Command, place: Place, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"

    ended = crossdock("transfer", "--check", "--from", place.target, "--to", f"sqlite:///{missing}")

    assert ended.code == 1
    assert "there is no database" in ended.err
    assert not missing.exists()


def test_a_role_without_rights_is_told(crossdock: Command, place: Place, postgres: ForeignServer) -> None:
    name = postgres.create_database()
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS crossdock_guest")
        connection.execute("CREATE ROLE crossdock_guest LOGIN")
    url = postgres.url(name).replace("postgres@", "crossdock_guest@")

    ended = crossdock("transfer", "--from", place.source, "--to", url, "--data", place.data)

    postgres.drop_database(name)
    assert ended.code == 1
    assert "as the role that owns them" in ended.err
    assert "Traceback" not in ended.err


# --- keys ----------------------------------------------------------------------------------------------------------


def test_secrets_that_the_new_servers_could_not_open_are_told(crossdock: Command, place: Place) -> None:
    (place.data / "master.key").unlink()

    ended = crossdock(*place.words)

    assert ended.code == 1
    assert "1 of 1 secrets could not be opened" in ended.err
    assert "--without-key" in ended.err
    assert not (place.data / "master.key").exists()
    assert "not marked" in crossdock("transfer", "--release", "--from", place.source).err


def test_another_key_does_not_open_them_either(crossdock: Command, place: Place, monkeypatch: Any) -> None:
    monkeypatch.setenv("CROSSDOCK_MASTER_KEY", base64.b64encode(bytes(32)).decode())

    refused = crossdock(*place.words)
    allowed = crossdock(*place.words, "--without-key", "--json")

    assert refused.code == 1
    assert "was sealed with master key mk_" in refused.err
    assert allowed.json["secrets"] == {"total": 1, "opened": 0}


# --- going back ----------------------------------------------------------------------------------------------------


def test_the_old_database_is_released_when_the_new_one_is_closed(crossdock: Command, place: Place) -> None:
    crossdock(*place.words)
    alone = crossdock("transfer", "--release", "--from", place.source)

    released = crossdock("transfer", "--release", "--from", place.source, "--to", place.target)

    assert alone.code == 1
    assert "with --to, so that it is closed" in alone.err
    assert released.code == 0, released.err
    assert "Released" in released.out
    assert "events it accepted are missing here" in released.err
    closed = crossdock("serve", "--data", place.data, "--database", place.target)
    assert "was given up" in closed.err


def test_a_release_without_the_new_database_has_to_be_forced(crossdock: Command, place: Place) -> None:
    crossdock(*place.words)

    released = crossdock("transfer", "--release", "--from", place.source, "--force")

    assert released.code == 0
    assert "can be served again" in released.out


# --- wrong words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "sqlite:///a.db"), "name the new database"),
        (("--from", "a.db", "--to", "postgresql://u:hunter2@db/x"), "write it like sqlite:///"),
        (("--from", "sqlite:///a.db", "--to", "postgresql:/u:hunter2@db"), "write it like sqlite:///"),
        (("--from", "sqlite:///a.db", "--to", "mysql://u:hunter2@db/x"), "write it like sqlite:///"),
        (("--from", "sqlite:///a.db", "--check", "--release"), "two different things"),
        (("--to", "postgresql://u:hunter2@db/x"), "Missing option '--from'"),
    ],
)
def test_wrong_words_are_told_without_passwords(words: tuple[str, ...], said: str, crossdock: Command) -> None:
    ended = crossdock("transfer", *words)

    assert ended.code == 2
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert "hunter2" not in ended.out + ended.err


def test_a_target_that_is_away_is_told_without_its_password(crossdock: Command, place: Place) -> None:
    words = [word.replace(place.target, "postgresql://u:hunter2@127.0.0.1:1/db") for word in place.words]

    ended = crossdock(*words)

    assert ended.code == 1
    assert "postgresql://127.0.0.1:1/db can't be reached" in ended.err
    assert "hunter2" not in ended.err


def test_the_target_may_stand_in_the_settings(crossdock: Command, place: Place, monkeypatch: Any) -> None:
    monkeypatch.setenv("CROSSDOCK_DATABASE", place.target)

    ended = crossdock("transfer", "--from", place.source, "--data", place.data)

    assert ended.code == 0, ended.err


# --- ended on the way ----------------------------------------------------------------------------------------------


def started(place: Place) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    return subprocess.Popen(
        [sys.executable, "-m", "crossdock", *place.words, "--json"],
        env={**environment, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def standing(target: str) -> str:
    """The mark in the target; empty when there is none."""
    with psycopg.connect(target) as connection:
        row = connection.execute("SELECT value FROM setting WHERE name = 'transfer'").fetchone()
    return row[0] if row else ""


def ended_at_progress(place: Place, how: signal.Signals) -> tuple[int, str]:
    """Start it, and signal it as soon as it is further than it was; its exit code and what it said."""
    before = standing(place.target)
    process = started(place)
    deadline = time.monotonic() + LIMIT_SECONDS
    while standing(place.target) == before and process.poll() is None:
        assert time.monotonic() < deadline
    process.send_signal(how)
    _, said = process.communicate(timeout=LIMIT_SECONDS)
    return process.returncode, said


def test_killed_again_and_again_it_ends_with_each_row_once(
    large_template: Path, tmp_path: Path, target: str, crossdock: Command
) -> None:
    place = placed(large_template, tmp_path, target)

    codes = [ended_at_progress(place, signal.SIGKILL)[0] for _ in range(6)]
    crossdock(*place.words)
    report = crossdock(*place.words, "--check", "--json").json

    assert -signal.SIGKILL in codes
    assert report["same"] is True
    assert {each["target"]["rows"] for each in report["tables"] if each["table"] in ("event", "run")} == {1_500}
    assert '"complete"' in standing(target)


def test_ctrl_c_ends_it_between_two_transactions(large_template: Path, tmp_path: Path, target: str) -> None:
    place = placed(large_template, tmp_path, target)

    code, said = ended_at_progress(place, signal.SIGINT)
    again = started(place)
    out, _ = again.communicate(timeout=LIMIT_SECONDS)

    assert code == 1
    assert "stopped; what was copied is kept" in said
    assert "Traceback" not in said
    assert json.loads(out)["complete"] is True
