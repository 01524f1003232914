"""A clock that is stepped under load: nothing is lost or done twice, the order is kept, and waits keep their bounds.

The long form is `scripts/faults --clock-steps`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.postgres import OwnServer
from tests.system.clock_steps import (
    HOUR,
    ClockPlan,
    ClockReport,
    WallClock,
    lease_trouble,
    step_clock_repeatedly,
    wrong_listing,
)
from tests.system.cluster_clocks import ClockSteps
from tests.system.cluster_rounds import RoundPlan, play_round
from tests.system.ledger import Record, RecordedRun

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]

LOOK = "import time; print(time.time_ns() // 10**9, time.gmtime().tm_hour, round(time.monotonic()))"


async def test_promises_outlive_steps_of_the_clock_on_sqlite(tmp_path: Path):
    report = await step_clock_repeatedly(tmp_path, ClockPlan((HOUR, -HOUR)))

    assert report.problems() == {}
    assert report.faults == 4
    assert report.acknowledged > 100
    assert len(report.waits["begun after a step"]) == 4


async def test_promises_outlive_steps_of_the_clock_of_one_node(tmp_path: Path, own_postgres: OwnServer):
    steps = ClockSteps()

    report = await play_round(tmp_path, own_postgres, steps, RoundPlan(1, nodes=2, prepare=steps.prepare))

    assert report.problems() == {}
    assert report.fenced == 0
    assert report.measured["wait begun after the step back to the right time"]


@pytest.mark.parametrize("off", [HOUR, -HOUR, 600.0])
def test_clock_of_a_process_is_off_and_its_steady_time_is_not(tmp_path: Path, off: float):
    clock = WallClock(tmp_path)
    clock.set_off(off)

    seen = subprocess.run(
        [sys.executable, "-c", LOOK], env=clock.environment, capture_output=True, text=True, check=True
    )

    wall, hour, steady = map(int, seen.stdout.split())
    assert abs(wall - time.time() - off) < 5
    assert hour == time.gmtime(wall).tm_hour
    assert abs(steady - time.monotonic()) < 5


@pytest.mark.parametrize(("seconds", "is_wrong"), [(0.9, True), (1.0, False), (3.9, False), (4.1, True)])
def test_wait_outside_of_its_bounds_is_found(seconds: float, is_wrong: bool):
    report = ClockReport()

    report.note_wait("begun after a step", seconds, least=1.0, most=1.0)

    assert bool(report.problems()) == is_wrong


def test_lease_that_a_step_has_cost_is_found():
    line = '{"level": "warning", "message": "runs.taken_over", "nodes": ["node_1"], "runs": 3}'

    assert lease_trouble(f'{{"message": "server.started"}}\n{line}\n') == [line]


def test_event_that_a_list_misses_or_shows_twice_is_found():
    run = RecordedRun("succeeded", None, None, 0)
    record = Record({"e1": run, "e2": run}, frozenset(), {})

    assert wrong_listing(["e2", "e1"], record) == []
    assert wrong_listing(["e2", "e2"], record) == ["e1 is missing", "e2 twice"]
