"""Two nodes on one PostgreSQL: what their metrics, the API and doctor tell moves with what happens to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.exposition import samples_in
from tests.support.postgres import ForeignServer
from tests.support.program import Program
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(240)]

LIMIT_SECONDS = 60.0
MASTER_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
QUICK = {"heartbeat": "PT0.5S", "lease_ttl": "PT3S", "master_key": MASTER_KEY}
ORDERED = {
    "name": "Ordered",
    "type": "webhook-trigger",
    "trigger": {"ordered_delivery": True, "ordering_key": "{{ body.k }}", "authentication": {"mode": "none"}},
    "retry": {"attempts": 1},
    "workflow": {"steps": [{"id": "stop", "fail": {"message": "no"}}]},
}
PLAIN = {
    "name": "Plain",
    "type": "webhook-trigger",
    "trigger": {"authentication": {"mode": "none"}},
    "workflow": {"steps": [{"id": "one", "transform": {"a": 1}}]},
}
SLOW = {**PLAIN, "name": "Slow", "workflow": {"steps": [{"id": "rest", "python": {"function": "rest:rest"}}]}}
REST = "import asyncio\n\nasync def rest():\n    await asyncio.sleep(3600)\n"


@dataclass
class Cluster:
    first: Program
    second: Program
    database: str

    def value(self, node: Program, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        with urllib.request.urlopen(f"{node.url}/metrics", timeout=30) as answer:
            found = samples_in(answer.read().decode(), name)
        return sum(value for given, value in found if labels.items() <= given.items())

    def until(self, node: Program, least: float, name: str, **labels: str) -> None:
        wait_until(lambda: self.value(node, name, **labels) >= least, LIMIT_SECONDS)

    def calls(self, path: str, count: int = 1, document: object = None) -> None:
        for _ in range(count):
            assert self.first.call(path, document or {}).status == 202


@pytest.fixture
def cluster(tmp_path: Path, postgres: ForeignServer) -> Iterator[Cluster]:
    name = postgres.create_database()
    workflows = tmp_path / "workflows"
    workflows.mkdir()
    (workflows / "rest.py").write_text(REST)
    nodes = [
        Program(tmp_path / each, database=postgres.url(name), settings=QUICK, arguments=["--workflows", str(workflows)])
        for each in ("first", "second")
    ]
    try:
        for node in nodes:
            node.start()
        yield Cluster(nodes[0], nodes[1], postgres.url(name))
    finally:
        for node in nodes:
            node.kill()
        postgres.drop_database(name)


def test_what_happens_to_two_nodes_is_told_by_their_metrics(cluster: Cluster) -> None:
    first, second = cluster.first, cluster.second
    for document in (ORDERED, PLAIN, SLOW):
        first.add_integration(document)

    for node in (first, second):
        cluster.until(node, 2, "crossdock_nodes", role="run", state="working")
        cluster.until(node, 1, "crossdock_signals_hearing")
        cluster.until(node, 1, "crossdock_signal_echo_seconds_count")
    wait_until(lambda: first.call("plain", {}).status == 202, LIMIT_SECONDS)

    cluster.calls("plain", 5)
    cluster.calls("ordered", document={"k": "a"})
    cluster.calls("slow")

    cluster.until(first, 6, "crossdock_run_queue_seconds_count")
    cluster.until(first, 1, "crossdock_lanes_blocked")
    cluster.until(first, 1, "crossdock_leases_held", kind="run")
    assert cluster.value(first, "crossdock_node_lease_seconds_left") > 0
    assert cluster.value(first, "crossdock_database_statements_total") > 20
    assert cluster.value(first, "crossdock_database_seconds_count", kind="read") > 5
    assert cluster.value(first, "crossdock_heartbeat_seconds_count") > 1
    assert cluster.value(first, "crossdock_event_loop_lag_seconds_count") > 1
    assert abs(cluster.value(first, "crossdock_node_clock_skew_seconds")) < 5
    wait_until(
        lambda: sum(cluster.value(node, "crossdock_duties_taken_total") for node in (first, second)) > 0, LIMIT_SECONDS
    )

    second_process = second.process
    assert second_process is not None
    os.kill(second_process.pid, signal.SIGSTOP)
    cluster.until(first, 1, "crossdock_nodes", role="run", state="silent")
    cluster.until(first, 1, "crossdock_nodes_buried_total")
    os.kill(second_process.pid, signal.SIGCONT)
    cluster.until(second, 1, "crossdock_node_fenced_total")
    cluster.until(first, 2, "crossdock_nodes", role="run", state="working")

    first.kill()
    cluster.until(second, 1, "crossdock_runs_rescued_total")
    cluster.until(second, 1, "crossdock_nodes_buried_total")


def test_people_and_doctor_see_both_nodes_while_they_run(cluster: Cluster) -> None:
    cluster.first.add_integration(ORDERED)
    wait_until(lambda: cluster.first.call("ordered", {"k": "a"}).status == 202, LIMIT_SECONDS)
    wait_until(lambda: _has_blocked_lane(cluster.second), LIMIT_SECONDS)

    nodes = cluster.second.admin("GET", "/nodes")["items"]
    command = [sys.executable, "-m", "crossdock", "doctor", "--json", "--database", cluster.database]
    ended = subprocess.run(
        [*command, "--data", str(cluster.first.data)],
        env=cluster.first.environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    findings = {finding["subject"]: finding for finding in json.loads(ended.stdout)}

    assert [(node["state"], node["is_this"]) for node in nodes] == [("working", False), ("working", True)]
    assert nodes[0]["key_ids"] == nodes[1]["key_ids"] != []
    assert findings["nodes"]["message"] == "2 working"
    assert "1 wait for a decision" in findings["blocked lanes"]["message"]
    assert "keys of nodes" not in findings


def _has_blocked_lane(node: Program) -> bool:
    return any(item["blocked"] for item in node.admin("GET", "/backlog")["items"])
