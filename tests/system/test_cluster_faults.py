"""Three nodes on one PostgreSQL: each kind of fault under load, and nothing is lost, repeated or out of order.

The long forms are `scripts/faults --nodes 3 --kills`, `--zombies`, `--database-stops` and `--backends`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.postgres import OwnServer
from tests.system.cluster_faults import Backends, DatabaseStops, Kills, Zombies
from tests.system.cluster_rounds import RoundPlan, RoundReport, play_round

ROUNDS_WITHOUT_FENCE = 5
UNFENCED = Path(__file__).parent / "unfenced.py"

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


async def test_promises_outlive_the_death_of_one_node_of_three(tmp_path: Path, own_postgres: OwnServer):
    report = await play_round(tmp_path, own_postgres, Kills(), RoundPlan(1))

    assert report.problems() == {}
    assert_something_happened(report, "take-over")


async def test_node_that_stood_still_writes_nothing_stale_and_comes_back(tmp_path: Path, own_postgres: OwnServer):
    report = await play_round(tmp_path, own_postgres, Zombies(), RoundPlan(1))

    assert report.problems() == {}
    assert_something_happened(report, "take-over", "back at work")


async def test_node_without_a_fence_is_caught(tmp_path: Path, own_postgres: OwnServer):
    plan = RoundPlan(1, launcher=(sys.executable, str(UNFENCED)))

    for number in range(ROUNDS_WITHOUT_FENCE):  # a freeze finds the node about to begin something more often than not
        folder = tmp_path / str(number)
        folder.mkdir()
        report = await play_round(folder, own_postgres, Zombies(), plan)
        if report.findings.late:
            return

    pytest.fail("no late effect was found")


async def test_nodes_outlive_a_stop_of_the_database(tmp_path: Path, own_postgres: OwnServer):
    report = await play_round(tmp_path, own_postgres, DatabaseStops(own_postgres, measure_every=9), RoundPlan(1))

    assert report.problems() == {}
    assert report.refused > 0
    assert_something_happened(report, "first call accepted")


async def test_nodes_outlive_the_end_of_their_connections(tmp_path: Path, own_postgres: OwnServer):
    report = await play_round(tmp_path, own_postgres, Backends(), RoundPlan(6))

    assert report.problems() == {}
    assert report.fenced == 0
    assert len(report.counts) > 1
    assert_something_happened(report, "first call accepted")


def assert_something_happened(report: RoundReport, *measured: str) -> None:
    assert report.faults > 0
    assert min(report.acknowledged, report.effects) > 100
    assert all(report.measured.get(name) for name in measured)
