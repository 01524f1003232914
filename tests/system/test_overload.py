"""Three times as many calls as can be worked off: refused politely, worked off in full, nothing lost.

The long form is `scripts/faults --overload`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.overload import OverloadPlan, OverloadReport, overload

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(240)]

MISTAKEN = {"unmeasured", "no_overload"}

GOOD = OverloadReport(
    capacity=100.0,
    accepted=110.0,
    worked_off=95.0,
    acknowledged=1_000,
    answers={"202": 1_000, "429": 300, "503": 700},
    memory_before=120.0,
    memory_highest=150.0,
)


async def overloaded(folder: Path) -> OverloadReport:
    """An overload, at the third try at the latest: what measures a busy machine may find it slower than it is, so later
    tries offer more."""
    for number, times in enumerate((3.0, 8.0, 8.0)):
        plan = OverloadPlan(seconds=10.0, capacity_seconds=2.0, queue_seconds=1.0, times=times)
        report = await overload(folder / str(number), plan)
        if not report.problems().keys() & MISTAKEN:
            break
    return report


async def test_overload_is_refused_and_what_was_taken_is_worked_off(tmp_path: Path):
    report = await overloaded(tmp_path)

    assert report.problems() == {}
    assert report.answers["503"] > 0
    assert report.answers["429"] > 0
    assert report.acknowledged > 50


def test_good_figures_are_no_problem():
    assert (GOOD.problems(), GOOD.shortfalls()) == ({}, {})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("lost", {"lost": 1}),
        ("unfinished", {"unfinished": 1}),
        ("unexpected", {"answers": {"202": 10, "503": 1, "500": 1}}),
        ("broken", {"broken": 1}),
        ("without_advice", {"without_advice": 1}),
        ("no_overload", {"answers": {"202": 10}}),
        ("unmeasured", {"capacity": 0.0, "answers": {}}),
        ("memory", {"memory_highest": 500.0}),
    ],
)
def test_broken_promise_is_found(name: str, changes: dict[str, Any]):
    assert list(replace(GOOD, **changes).problems()) == [name]


@pytest.mark.parametrize("name", ["accepted", "worked_off"])
def test_rate_that_collapses_is_found(name: str):
    changes: dict[str, Any] = {name: 79.0}

    assert replace(GOOD, **changes).shortfalls() == {f"{name}_collapsed": ["79/s of 100/s"]}
