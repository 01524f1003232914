"""What `crossdock doctor` finds wrong with nodes, keys and the backlog, each made to be so on a real database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from crossdock.cli.findings import Finding
from crossdock.clock import system_now
from crossdock.model.states import RunMove
from crossdock.model.time import SECOND, later
from crossdock.store import Store, schema
from crossdock.store.nodes import Condition, NodeRow, beat, register_node
from crossdock.store.secrets import SecretRow, put_secrets
from crossdock.vault import load_vault
from tests.cli.conftest import Command
from tests.support.replies import Ledger
from tests.support.runs import NODE, OTHER_NODE, Runs

Found = dict[str, list[dict[str, str]]]
ALL = "deliver,receive,run,web"
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@dataclass
class Installation:
    """A database, its data folder, and what doctor says of them."""

    store: Store
    url: str
    data: Path
    crossdock: Command

    def examine(self) -> Found:
        ended = self.crossdock("doctor", "--json", "--database", self.url, "--data", self.data)
        found: Found = {}
        for finding in ended.json:
            assert finding["advice"] or finding["grade"] == "ok", finding
            found.setdefault(finding["subject"], []).append(finding)
        return found

    async def node(self, node_id: str = NODE, condition: Condition | None = None, **more: Any) -> None:
        now = system_now()
        row = replace(NodeRow(node_id, "one.example", 7, "0.9", now, now, ALL), **more)
        await self.store.write(register_node, row)
        await self.store.write(beat, node_id, now, condition or Condition())

    async def silent(self, node_id: str, seconds: float) -> None:
        """The node has not been heard of for so long."""
        await self.store.write(_age, node_id, round(seconds * SECOND))

    async def sealed(self, key_id: str, seconds_ago: float = 60.0) -> None:
        """There is a secret that this key has sealed."""
        at = later(system_now(), -seconds_ago)
        await self.store.write(put_secrets, [SecretRow("int_a", "token", key_id, b"sealed")], at)


def _age(connection: Connection, node_id: str, by: int) -> None:
    node = schema.node
    connection.execute(update(node).where(node.c.id == node_id).values(heartbeat_at=node.c.heartbeat_at - by))


@pytest.fixture
def installation(store: Store, database_url: str, tmp_path: Path, crossdock: Command) -> Installation:
    return Installation(store, database_url, tmp_path / "data", crossdock)


def only(found: Found, subject: str) -> tuple[str, str, str]:
    (finding,) = found[subject]
    return finding["grade"], finding["message"], finding["advice"]


async def test_an_installation_without_a_fault_is_fine(installation: Installation) -> None:
    await installation.node()
    await installation.node(OTHER_NODE)

    found = installation.examine()

    faults = [f for findings in found.values() for f in findings if f["grade"] != "ok"]
    expected = set() if installation.url.startswith("sqlite") else {"server"}  # the tests' server has fsync off
    assert {fault["subject"] for fault in faults} == expected
    assert only(found, "nodes")[1] == "2 working"


async def test_where_no_node_runs_that_is_said(installation: Installation) -> None:
    assert only(installation.examine(), "nodes")[:2] == ("ok", "none runs")


async def test_looking_changes_nothing(installation: Installation) -> None:
    await installation.node()
    await installation.silent(NODE, 60)

    first, second = installation.examine(), installation.examine()

    assert first["silent node"][0]["grade"] == second["silent node"][0]["grade"]
    assert not installation.data.exists()


async def test_a_silent_node_is_told_with_what_it_holds(installation: Installation) -> None:
    await installation.node()
    await installation.node(OTHER_NODE)
    await Runs(installation.store, system_now()).leased(node=OTHER_NODE)
    await installation.silent(OTHER_NODE, 8)

    grade, message, advice = only(installation.examine(), "silent node")

    assert grade == "warning"
    assert f"{OTHER_NODE} (process 7 on one.example)" in message
    assert "holds 1 runs" in message
    assert "take over after 10 s" in advice


async def test_a_dead_node_whose_work_nobody_takes_over_is_an_error(installation: Installation) -> None:
    await installation.node()
    await installation.node(OTHER_NODE)
    await installation.silent(OTHER_NODE, 60)

    grade, _, advice = only(installation.examine(), "silent node")

    assert grade == "error"
    assert "rescue.refused" in advice


async def test_where_all_are_dead_one_should_be_started(installation: Installation) -> None:
    await installation.node()
    await installation.silent(NODE, 60)

    grade, _, advice = only(installation.examine(), "silent node")

    assert (grade, advice) == ("warning", "start a node: it takes over what this one held")


async def test_leases_of_a_node_that_nobody_knows_are_told(installation: Installation) -> None:
    await installation.node()
    await Runs(installation.store, system_now()).leased(node="node_gone")

    grade, message, _ = only(installation.examine(), "leases of nobody")

    assert grade == "warning"
    assert "node_gone" in message


async def test_a_role_that_nobody_plays_is_told_with_its_effect(installation: Installation) -> None:
    await installation.node(roles="receive,run,web")

    grade, message, advice = only(installation.examine(), "roles")

    assert (grade, message) == ("warning", "no node plays deliver: replies wait")
    assert advice == "start one with --roles deliver"


async def test_nodes_of_different_versions_are_told(installation: Installation) -> None:
    await installation.node()
    await installation.node(OTHER_NODE, version="1.0")

    grade, message, _ = only(installation.examine(), "versions")

    assert (grade, message) == ("warning", "the nodes are of different versions: 0.9 (1), 1.0 (1)")


@on_postgresql
@pytest.mark.parametrize(("seconds", "grade"), [(1.0, None), (30.0, "warning"), (-30.0, "warning"), (90.0, "error")])
async def test_a_clock_that_runs_apart_is_told(installation: Installation, seconds: float, grade: str | None) -> None:
    await installation.node()
    await installation.store.write(beat, NODE, later(system_now(), seconds))

    found = installation.examine().get("clocks of nodes", [])

    assert [finding["grade"] for finding in found] == ([] if grade is None else [grade])


@on_postgresql
async def test_a_node_that_does_not_hear_the_others_is_told(installation: Installation) -> None:
    await installation.node(condition=Condition(hears=False))

    grade, message, advice = only(installation.examine(), "signals")

    assert grade == "warning"
    assert NODE in message
    assert "database_direct" in advice


# --- master keys -----------------------------------------------------------------------------------------------------


async def test_secrets_that_no_key_here_opens_are_an_error(installation: Installation) -> None:
    load_vault(installation.data, None)
    await installation.sealed("mk_far")

    ok, bad = installation.examine()["master key"]

    assert (ok["grade"], bad["grade"]) == ("ok", "error")
    assert "1 secret(s) were sealed with mk_far" in bad["message"]


async def test_a_node_with_another_key_is_told(installation: Installation) -> None:
    own = load_vault(installation.data, None).current_key_id
    await installation.sealed(own)
    await installation.node(condition=Condition(own))
    await installation.node(OTHER_NODE, condition=Condition("mk_other"))

    lacking, different = installation.examine()["keys of nodes"]

    assert (lacking["grade"], different["grade"]) == ("error", "warning")
    assert OTHER_NODE in lacking["message"]
    assert own in lacking["message"]


async def test_nodes_with_the_same_key_are_fine(installation: Installation) -> None:
    own = load_vault(installation.data, None).current_key_id
    await installation.sealed(own)
    for node_id in (NODE, OTHER_NODE):
        await installation.node(node_id, condition=Condition(own))

    found = installation.examine()

    assert "keys of nodes" not in found
    assert only(found, "master key")[0] == "ok"


async def test_a_key_that_was_just_made_is_not_missed_before_the_next_heartbeat(installation: Installation) -> None:
    own = load_vault(installation.data, None).current_key_id
    await installation.node(condition=Condition("mk_before"))
    await installation.sealed(own, seconds_ago=0.0)

    assert "keys of nodes" not in installation.examine()


# --- what waits ------------------------------------------------------------------------------------------------------


async def blocked_lane(runs: Runs) -> None:
    await runs.settle(await runs.leased(), RunMove.BLOCK)


async def old_run(runs: Runs) -> None:
    runs.now = later(runs.now, -600)
    await runs.queued()


@pytest.mark.parametrize(
    ("provoke", "subject", "words"),
    [(blocked_lane, "blocked lanes", "1 wait for a decision, in int_a"), (old_run, "backlog", "has waited for 10 min")],
)
async def test_what_waits_too_long_is_told(
    installation: Installation, provoke: Callable[[Runs], Any], subject: str, words: str
) -> None:
    await provoke(Runs(installation.store, system_now()))

    found = installation.examine()

    grade, message, _ = only(found, subject)
    assert grade == "warning"
    assert words in message
    assert only(found, "unfinished work")[1] == "1 runs are not finished, 0 replies wait"


async def test_replies_that_are_late_are_told(installation: Installation) -> None:
    await Ledger(installation.store).owe_reply(later(system_now(), -120))

    assert only(installation.examine(), "late replies")[0] == "warning"


def test_a_finding_says_what_to_do() -> None:
    line = Finding("nodes", "warning", "one hangs", "look at it").line()

    assert line.endswith("nodes: one hangs\n           -> look at it")
