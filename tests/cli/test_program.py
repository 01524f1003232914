"""The command line against the real program: what people do in their first hour."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossdock.demo import NAME, ORDER
from tests.cli.conftest import Command, Ended
from tests.support.program import ADMIN_TOKEN, Program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

ORDERED = {
    "name": "Stock movements",
    "type": "webhook-trigger",
    "trigger": {"ordered_delivery": True, "response_mode": "async"},
    "retry": {"attempts": 1},
    "workflow": {"steps": [{"id": "refuse", "fail": {"message": "no stock"}, "when": "{{ body.bad }}"}]},
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with the demo, shared by the tests of this file."""
    running = Program(tmp_path_factory.mktemp("program"), arguments=["--demo"])
    running.start()
    yield running
    running.stop()


@pytest.fixture
def cli(crossdock: Command, program: Program) -> Command:
    def carry_out(*words: object) -> Ended:
        return crossdock(*words, "--url", program.url, "--token", ADMIN_TOKEN)

    return carry_out


def sent(cli: Command, program: Program, order: str = ORDER) -> Any:
    """The story of an order that went through the demo."""
    key = (program.data / "demo.key").read_text().strip()
    return cli("send", NAME, "--key", key, "--data", order, "--wait", "--json").json


def test_the_first_start_shows_how_to_begin(program: Program) -> None:
    wait_until(lambda: "Replies arrive at" in program.log)

    assert f"listens at {program.url}" in program.log
    assert f"Sign in: {program.url}/" in program.log
    assert f"curl -i {program.url}/hooks/default/demo/orders" in program.log


def test_the_demo_has_a_history_to_look_at(cli: Command) -> None:
    def lanes() -> Any:
        return cli("lanes", "list", "Demo stock", "--json").json

    def listed(name: str) -> Any:
        return cli("events", "list", "--integration", name, "--json").json

    wait_until(lambda: [lane["key"] for lane in lanes() if lane["status"] == "blocked"] == ["pot"])
    wait_until(lambda: len(listed("Demo prices")) == 24)
    assert {each["status"] for each in listed("Demo prices")} == {"succeeded"}
    assert len(listed("Demo invoices")) == 2


def test_a_sent_event_tells_its_whole_story(cli: Command, program: Program) -> None:
    event = sent(cli, program)

    told = cli("events", "show", event["id"])

    assert event["result"]["body"]["total"] == 28
    assert "replied 204 on the first try" in told.out
    assert "1. priced (transform) succeeded" in told.out
    assert event["id"] in cli("events", "list", "--integration", NAME, "--status", "succeeded").out


def test_a_failed_event_ends_send_with_1(cli: Command, program: Program) -> None:
    key = (program.data / "demo.key").read_text().strip()

    ended = cli("send", NAME, "--key", key, "--data", "{}", "--wait")

    assert ended.code == 1
    assert "body.lines is not there" in ended.out


def test_sending_without_a_key_says_what_is_missing(cli: Command) -> None:
    ended = cli("send", NAME, "--data", "{}")

    assert ended.code == 1
    assert "give a key with --key" in ended.err


def test_replay_by_id_makes_a_new_event(cli: Command, program: Program) -> None:
    event = sent(cli, program)

    ended = cli("events", "replay", event["id"])

    old, _, new = ended.out.strip().partition(" -> ")
    assert old == event["id"]
    assert cli("events", "show", new, "--json").json["replay_of"] == old


def test_replay_by_filter_keeps_the_order(cli: Command, program: Program) -> None:
    first, second = (sent(cli, program, ORDER.replace("A-1001", "B-77")) for _ in range(2))

    ended = cli("events", "replay", "--integration", NAME, "--q", "B-77", "--yes", "--json")

    items = cli("jobs", "items", ended.json["id"], "--json").json
    assert [item["event_id"] for item in items] == [first["id"], second["id"]]
    assert cli("events", "show", items[0]["new_event_id"], "--json").json["replay_of"] == first["id"]


@pytest.mark.parametrize("words", [(), ("evt_1", "--status", "failed")])
def test_replay_needs_ids_or_a_filter(cli: Command, words: tuple[str, ...]) -> None:
    assert cli("events", "replay", *words).code == 2


def test_export_and_apply_are_each_others_inverse(cli: Command, tmp_path: Path) -> None:
    cli("export", "--out", tmp_path)

    ended = cli("apply", tmp_path)

    assert ended.code == 0
    assert "unchanged." in ended.out
    assert "created" not in ended.out


def test_apply_tells_what_is_wrong_by_field(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("kind: Integration\nspec: {name: Odd, type: webhook-trigger, retention: P1M}\n")

    ended = cli("apply", tmp_path)

    assert ended.code == 1
    assert "[0].retention" in ended.err


def test_prune_deletes_what_no_file_names(cli: Command, program: Program, tmp_path: Path) -> None:
    cli("export", "--out", tmp_path)
    program.add_integration({"name": "Left over", "type": "webhook-trigger"})

    assert "- Integration Left over" in cli("apply", tmp_path, "--prune", "--dry-run").out
    assert "1 deleted" in cli("apply", tmp_path, "--prune").out
    assert cli("integrations", "show", "Left over").code == 1


def test_an_integration_is_switched_off_and_on(cli: Command, program: Program) -> None:
    program.add_integration({"name": "Switched", "type": "webhook-trigger"})

    assert "disabled" in cli("integrations", "disable", "Switched").out
    assert cli("send", "Switched", "--data", "{}").code == 1
    assert "enabled" in cli("integrations", "enable", "Switched").out
    assert cli("send", "Switched", "--data", "{}").code == 0


def test_keys_are_given_out_and_taken_back(cli: Command) -> None:
    made = cli("integrations", "keys", "add", NAME, "shop", "--json").json

    assert made["id"] in cli("integrations", "keys", "list", NAME).out
    assert cli("send", NAME, "--key", made["key"], "--data", ORDER).code == 0
    assert cli("integrations", "keys", "delete", NAME, made["id"]).code == 0
    assert cli("send", NAME, "--key", made["key"], "--data", ORDER).code == 1


def test_tokens_open_the_api_until_they_are_revoked(cli: Command, crossdock: Command, program: Program) -> None:
    made = cli("token", "create", "viewer", "--json").json
    reading = ("integrations", "list", "--url", program.url, "--token", made["token"])

    assert crossdock(*reading).code == 0
    assert "needs the role" in crossdock("export", *reading[2:]).err or crossdock("export", *reading[2:]).code == 0
    assert cli("token", "revoke", made["id"]).code == 0
    assert crossdock(*reading).code == 1


def test_a_blocked_lane_is_shown_and_skipped(cli: Command, program: Program) -> None:
    program.add_integration(ORDERED)
    for body in ('{"bad": true}', '{"bad": false}'):
        cli("send", ORDERED["name"], "--data", body)
    wait_until(lambda: [lane["status"] for lane in _lanes(cli)] == ["blocked"])
    lane = _lanes(cli)[0]

    assert lane["waiting"] == 1
    assert "blocked" in cli("lanes", "list", ORDERED["name"]).out
    assert cli("lanes", "skip", ORDERED["name"], lane["id"], "--event", "evt_other").code == 1
    meant = ("--event", lane["head"]["id"])
    assert cli("lanes", "skip", ORDERED["name"], lane["id"], *meant).out == "The head was skipped.\n"
    wait_until(lambda: _statuses(cli) == ["succeeded", "failed"])


def test_an_event_that_waits_is_retried_and_canceled(cli: Command, program: Program) -> None:
    program.add_integration({**ORDERED, "name": "Returns"})
    cli("send", "Returns", "--data", '{"bad": true}')
    event_id = cli("events", "list", "--integration", "Returns", "--json").json[0]["id"]
    is_blocked = lambda: cli("events", "show", event_id, "--json").json["status"] == "waiting"  # noqa: E731
    wait_until(is_blocked)

    retried = cli("events", "retry", event_id)
    wait_until(is_blocked)
    canceled = cli("events", "cancel", event_id)

    assert retried.out.startswith(f"{event_id} is ")
    assert canceled.out == f"{event_id} is canceled\n"
    assert cli("events", "cancel", event_id).code == 1


def _lanes(cli: Command) -> list[Any]:
    found: list[Any] = cli("lanes", "list", ORDERED["name"], "--json").json
    return found


def _statuses(cli: Command) -> list[str]:
    events = cli("events", "list", "--integration", ORDERED["name"], "--json").json
    return [event["status"] for event in events]


def test_secrets_survive_a_change_of_the_master_key(cli: Command, program: Program) -> None:
    before = (program.data / "master.key").read_text()

    ended = cli("rotate-key")

    assert ended.code == 0
    assert (program.data / "master.key").read_text() != before
    assert sent(cli, program)["reply"]["status"] == "delivered"


def test_doctor_and_backup_work_beside_a_running_server(crossdock: Command, program: Program, tmp_path: Path) -> None:
    examined = crossdock("doctor", "--data", program.data, "--json")
    copied = crossdock("backup", tmp_path / "copy.db", "--data", program.data)

    assert examined.code == 0
    assert any("in use by process" in finding["message"] for finding in examined.json)
    assert copied.code == 0
    assert crossdock("migrate", "--data", program.data).code == 1


def test_tail_shows_what_comes_until_it_is_interrupted(cli: Command, program: Program) -> None:
    words = ["events", "tail", "--json", "--every", "0.1", "--url", program.url, "--token", ADMIN_TOKEN]
    tail = subprocess.Popen(
        [sys.executable, "-u", "-m", "crossdock", *words], stdout=subprocess.PIPE, env=program.environment, text=True
    )
    assert tail.stdout is not None

    wanted: set[str] = set()
    seen = ""
    for _ in range(20):  # it shows what comes after its first look, whose moment is not known here
        wanted.add(sent(cli, program)["id"])
        if seen := _line_within(tail, 1.0):
            break
    tail.send_signal(signal.SIGINT)

    assert json.loads(seen)["id"] in wanted
    assert tail.wait(20) == 0
    tail.stdout.close()


def _line_within(process: subprocess.Popen[str], seconds: float) -> str:
    import select

    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    return process.stdout.readline() if ready else ""
