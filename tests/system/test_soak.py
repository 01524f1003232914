"""A steady load with deletion of what is old: nothing is lost, and what grows is found.

The long form, of an hour, is `scripts/faults --soak 60`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.soak import Sample, SoakPlan, SoakReport, fit, soak

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]


async def test_steady_load_loses_nothing_and_is_sampled(tmp_path: Path):
    report = await soak(tmp_path, SoakPlan(seconds=6.0, every_seconds=1.5, capacity_seconds=3.0))

    assert report.problems() == {}
    assert report.acknowledged == report.checked > 20
    assert len(report.samples) >= 3
    last = report.samples[-1]
    assert min(last.memory_mb, last.worker_mb, last.open_files, last.threads, last.database_mb) > 0
    assert min(last.rows.values()) > 0


def samples(value: Callable[[int], dict[str, Any]], count: int = 60) -> SoakReport:
    """An hour, a sample a minute."""
    steady: dict[str, Any] = {
        "memory_mb": 150.0,
        "workers": 2,
        "worker_mb": 40.0,
        "open_files": 40,
        "threads": 30,
        "processor": 0.5,
        "accepted": 0,
        "unfinished": 0,
        "rows": {},
        "database_mb": 50.0,
        "log_mb": 4.0,
    }
    made = [Sample(at=minute * 60.0, **{**steady, **value(minute)}) for minute in range(count)]
    return SoakReport(seconds=count * 60.0, samples=made)


def test_memory_that_only_swings_does_not_climb():
    chance = random.Random(1)

    assert samples(lambda _: {"memory_mb": 150 + chance.uniform(-6, 6)}).problems() == {}


def test_growth_in_the_warm_up_is_not_held_against_it():
    assert samples(lambda minute: {"memory_mb": 100 + 3 * min(minute, 19)}).problems() == {}


@pytest.mark.parametrize(
    ("name", "by_minute"), [("memory_mb", 0.2), ("worker_mb", 0.3), ("open_files", 3.0), ("database_mb", 3.0)]
)
def test_what_climbs_is_named(name: str, by_minute: float):
    chance = random.Random(1)

    report = samples(lambda minute: {name: 50 + minute * by_minute + chance.uniform(-0.5, 0.5)})

    assert [told.split()[0] for told in report.problems()["climbing"]] == [name]


def test_lost_failed_and_unfinished_events_are_problems():
    report = SoakReport(lost=["e1"], not_succeeded=["e2 failed"], unfinished=["3 runs have not ended"])

    assert report.problems() == {
        "lost": ["e1"],
        "not_succeeded": ["e2 failed"],
        "unfinished": ["3 runs have not ended"],
    }


def test_line_is_the_one_of_least_squares():
    slope, error = fit([0, 1, 2, 3], [1, 3, 2, 4])

    assert slope == pytest.approx(0.8)
    assert error == pytest.approx(0.4243, abs=1e-4)
