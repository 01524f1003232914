"""Exit codes and words when a command can't do its work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossdock import __version__
from tests.cli.conftest import Answering, Command

READING = [
    ("events", "list"),
    ("events", "show", "evt_1"),
    ("integrations", "list"),
    ("integrations", "show", "int_1"),
    ("integrations", "keys", "list", "int_1"),
    ("connections", "list"),
    ("connections", "show", "con_1"),
    ("connections", "test", "con_1"),
    ("lanes", "list", "int_1"),
    ("token", "list"),
    ("export",),
]


def test_the_program_tells_its_version() -> None:
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-m", "crossdock", "version"],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith(f"crossdock {__version__} (Python 3.")


@pytest.mark.parametrize("words", [("fly",), ("serve", "--prot", "1"), ("events", "show"), ("send",)])
def test_wrong_usage_ends_with_2(crossdock: Command, words: tuple[str, ...]) -> None:
    ended = crossdock(*words)

    assert ended.code == 2
    assert "Usage:" in ended.err


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_server_that_is_not_there_is_one_clear_line(crossdock: Command, words: tuple[str, ...]) -> None:
    ended = crossdock(*words, "--url", "http://127.0.0.1:1", "--token", "t")

    assert ended.code == 1
    assert ended.err == (
        "crossdock: no server answers at http://127.0.0.1:1; start it with `crossdock serve`, "
        "or name another one with --url\n"
    )


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_every_reading_command_offers_json(crossdock: Command, words: tuple[str, ...]) -> None:
    assert "--json" in crossdock(*words[:3] if "keys" in words else words[:2], "--help").out


@pytest.mark.parametrize("url", ["127.0.0.1:8420", "ftp://x", "http://", "http://127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(crossdock: Command, url: str) -> None:
    ended = crossdock("token", "list", "--url", url)

    assert ended.code == 1
    assert "address of a server" in ended.err or "port that does not exist" in ended.err


def test_an_unknown_token_says_how_to_give_one(crossdock: Command, server: Answering) -> None:
    server.answers["GET /api/v1/tokens"] = (401, {"detail": "unknown"})

    ended = crossdock("token", "list", "--url", server.url)

    assert (ended.code, ended.out) == (1, "")
    assert "give one with --token or CROSSDOCK_TOKEN" in ended.err


def test_a_refusal_is_told_in_the_servers_words_with_its_fields(crossdock: Command, server: Answering) -> None:
    server.answers["POST /api/v1/tokens"] = (
        422,
        {
            "title": "Invalid",
            "detail": "the token is not acceptable",
            "errors": [{"field": "name", "message": "taken"}],
        },
    )

    ended = crossdock("token", "create", "ci", "--url", server.url, "--token", "t")

    assert ended.code == 1
    assert ended.err == "crossdock: the token is not acceptable\n  name: taken\n"


def test_a_refusal_is_told_once(crossdock: Command, server: Answering) -> None:
    server.answers["POST /api/v1/tokens"] = (
        422,
        {"title": "Invalid", "detail": "name is taken", "errors": [{"field": "name", "message": "is taken"}]},
    )

    ended = crossdock("token", "create", "ci", "--url", server.url, "--token", "t")

    assert ended.err == "crossdock: name is taken\n"


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (502, b"<html>Bad gateway</html>"), (302, b"")])
def test_something_else_than_crossdock_is_noticed(
    crossdock: Command, server: Answering, status: int, body: bytes
) -> None:
    server.answers["GET /api/v1/tokens"] = (status, body)
    server.headers["location"] = "http://elsewhere.example/"

    ended = crossdock("token", "list", "--url", server.url, "--token", "t")

    assert ended.code == 1
    assert server.url in ended.err
    assert len(server.asked) == 1


def test_the_token_of_a_local_server_is_found_in_its_data_folder(
    crossdock: Command, server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "admin.token").write_text("local-token\n")
    monkeypatch.setenv("CROSSDOCK_DATA", str(tmp_path))
    server.answers["GET /api/v1/tokens"] = (200, {"items": [], "next": None})

    crossdock("token", "list", "--url", server.url)

    assert server.asked[0][1]["Authorization"] == "Bearer local-token"


def test_lists_are_read_to_their_end(crossdock: Command, server: Answering) -> None:
    token = {"name": "ci", "role": "viewer", "hint": "abcd", "expires_at": None, "last_used_at": None}
    server.answers["GET /api/v1/tokens?limit=200"] = (200, {"items": [{**token, "id": "tok_1"}], "next": "more"})
    server.answers["GET /api/v1/tokens?limit=200&cursor=more"] = (
        200,
        {"items": [{**token, "id": "tok_2"}], "next": None},
    )

    ended = crossdock("token", "list", "--url", server.url, "--json")

    assert [item["id"] for item in ended.json] == ["tok_1", "tok_2"]


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """Also where the tests run in the background, with the signal ignored from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_a_replay_can_be_stopped_between_two_events(crossdock: Command, server: Answering) -> None:
    server.answers = {f"POST /api/v1/events/evt_{number}/replay": (201, {"id": "evt_9"}) for number in (1, 2, 3)}
    server.interrupting = "POST /api/v1/events/evt_2/replay"

    ended = crossdock("events", "replay", "evt_1", "evt_2", "evt_3", "--url", server.url, "--token", "t")

    assert ended.code == 1
    assert ended.out == "evt_1 -> evt_9\n"
    assert "stopped after 1 of 3 events" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "--port", "99999"), "setting port 99999 (from --port): Input should be less than or equal to 65535"),
        (("serve", "--config", "missing.toml"), "the configuration file missing.toml can't be read"),
        (("migrate", "--database", "mysql://db/x"), "setting database (from --database): write it like sqlite:///"),
        (("backup", "copy.db", "--data", "nowhere"), "there is no database"),
        (("apply", "missing.yaml"), "missing.yaml can't be read"),
        (("send", "x", "--data", "@missing.json"), "missing.json can't be read"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(crossdock: Command, words: tuple[str, ...], said: str) -> None:
    ended = crossdock(*words)

    assert ended.code == 1
    assert said in ended.err
    assert "Traceback" not in ended.err
