"""`crossdock user` on the database itself, with and without a server."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from crossdock.store.database import lock_file, open_database
from tests.cli.conftest import Command
from tests.support.program import ADMIN_TOKEN, Program

PASSWORD = "correct horse battery"


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What the command reads from its input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_user_is_added_before_the_first_start_and_listed(crossdock: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "user add" in crossdock("user", "list", "--data", data).out

    added = crossdock("user", "add", "Alice", "--role", "admin", "--data", data)

    assert (added.code, added.out.startswith("http://127.0.0.1:8420/sign-in?token=")) == (0, True)
    assert "alice is admin of default" in added.err
    table = crossdock("user", "list", "--data", data).out
    assert "nothing yet" in table
    assert "default: admin" in table
    [user] = crossdock("user", "list", "--json", "--data", data).json
    assert (user["login"], user["memberships"], user["password_set"]) == ("alice", {"default": "admin"}, False)


def test_a_password_is_set_from_the_input(crossdock: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crossdock("user", "add", "alice", "--data", tmp_path)
    give(monkeypatch, f"{PASSWORD}\nanything else")

    ended = crossdock("user", "passwd", "ALICE", "--data", tmp_path)

    assert (ended.code, ended.out) == (0, "alice has a new password, and is signed out everywhere.\n")
    [user] = crossdock("user", "list", "--json", "--data", tmp_path).json
    assert user["password_set"]


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("passwd", "alice"), "short\n", "10 characters"),
        (("passwd", "alice"), "", "first line of the input"),
        (("passwd", "nobody"), f"{PASSWORD}\n", "no user nobody"),
        (("passwd", "nobody", "--link"), "", "no user nobody"),
        (("add", "alice"), "", "taken"),
        (("add", "a b"), "", "letters"),
        (("add", "bob", "--workspace", "nowhere"), "", "no workspace"),
    ],
)
def test_what_is_wrong_is_said(
    crossdock: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    text: str,
    said: str,
) -> None:
    crossdock("user", "add", "alice", "--data", tmp_path)
    give(monkeypatch, text)

    ended = crossdock("user", *words, "--data", tmp_path)

    assert ended.code == 1
    assert said in ended.err


def test_another_link_is_shown(crossdock: Command, tmp_path: Path) -> None:
    first = crossdock("user", "add", "alice", "--data", tmp_path).out

    second = crossdock("user", "passwd", "alice", "--link", "--data", tmp_path)

    assert second.code == 0
    assert second.out.startswith("http://127.0.0.1:8420/sign-in?token=")
    assert second.out != first


def test_tables_of_another_version_are_left_alone(crossdock: Command, tmp_path: Path) -> None:
    crossdock("user", "list", "--data", tmp_path)
    database = open_database(f"sqlite:///{tmp_path / 'crossdock.db'}")
    with database.writer.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0004'")
    database.dispose()

    ended = crossdock("user", "list", "--data", tmp_path)

    assert (ended.code, "crossdock migrate" in ended.err) == (1, True)


def test_a_new_database_that_somebody_else_makes_is_waited_for_in_words(crossdock: Command, tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'crossdock.db'}")
    lock = lock_file(database)
    assert lock is not None
    lock.acquire()

    ended = crossdock("user", "list", "--data", tmp_path)

    lock.release()
    database.dispose()
    assert (ended.code, "another Crossdock" in ended.err) == (1, True)


def test_it_works_on_postgresql(crossdock: Command, tmp_path: Path, postgres) -> None:
    name = postgres.create_database()
    place = ("--database", postgres.url(name), "--data", tmp_path)

    assert crossdock("user", "add", "alice", *place).code == 0
    assert [user["login"] for user in crossdock("user", "list", "--json", *place).json] == ["alice"]
    postgres.drop_database(name)


def test_a_running_server_on_sqlite_is_not_in_the_way(
    crossdock: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(tmp_path, settings={"admin_token": ADMIN_TOKEN})
    program.start()
    try:
        assert crossdock("user", "add", "alice", "--role", "admin", "--data", program.data).code == 0
        give(monkeypatch, f"{PASSWORD}\n")
        assert crossdock("user", "passwd", "alice", "--data", program.data).code == 0
        seen = program.admin("GET", "/users")
    finally:
        program.kill()

    assert [(user["login"], user["password_set"]) for user in seen["items"]] == [("alice", True)]
