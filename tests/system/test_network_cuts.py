"""Nodes that are cut off from their database: nothing is lost, and whoever can't know that it may act does not act.

The long form is `scripts/faults --network-cuts`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.postgres import OwnServer
from tests.system.cluster_calling import ClusterPromises
from tests.system.cluster_rounds import Field, RoundPlan, RoundReport, play_round
from tests.system.network_cuts import LONGEST_WAIT, NetworkCuts, note_wait, proxies_to, through

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


async def cut(folder: Path, server: OwnServer, *kinds: str, nodes: int = 2) -> RoundReport:
    async with proxies_to(server, nodes) as proxies:
        plan = RoundPlan(len(kinds), nodes=nodes, route=lambda number, url: through(proxies, number, url))
        return await play_round(folder, server, NetworkCuts(proxies, kinds), plan)


async def test_node_that_is_cut_off_stops_acting_and_comes_back(tmp_path: Path, own_postgres: OwnServer):
    report = await cut(tmp_path, own_postgres, "cut off", "refused")

    assert report.problems() == {}
    assert report.acknowledged > 50
    assert max(report.measured["take-over"]) < LONGEST_WAIT
    assert report.measured["wait until refused"]
    assert report.measured["first call accepted"]


async def test_commits_whose_answers_are_lost_are_not_done_twice(tmp_path: Path, own_postgres: OwnServer):
    report = await cut(tmp_path, own_postgres, "answers lost after commit", "answers lost after commit")

    assert report.problems() == {}
    assert report.counts["commits without an answer"] >= 2


def test_wait_that_is_too_long_is_found():
    there = Field(cast(Any, None), ClusterPromises(), random.Random(1))

    note_wait(there, "node_1", 503, 2.0)
    note_wait(there, "node_1", 0, LONGEST_WAIT + 1)

    assert there.measured == {"wait until refused": [2.0], "wait without an answer": [16.0]}
    assert there.not_recovered == ["a caller of node_1 waited 16.0 s for nothing"]
