"""kill -9 between and inside steps of every kind: what is recorded is not done again, what is not is.

The long form is `scripts/faults --steps`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres import ForeignServer
from tests.system.killing import Plan
from tests.system.step_killing import StepReport, kill_steps_repeatedly

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


async def test_steps_of_every_kind_outlive_kills_on_sqlite(tmp_path: Path):
    report = await kill_steps_repeatedly(tmp_path, Plan(kills=3, longest_seconds=1.2, hasty=0))

    assert report.problems() == {}
    assert_something_happened(report)


async def test_steps_of_every_kind_outlive_kills_on_postgresql(tmp_path: Path, postgres: ForeignServer):
    name = postgres.create_database()

    report = await kill_steps_repeatedly(
        tmp_path, Plan(kills=2, longest_seconds=1.2, hasty=0), database=postgres.url(name)
    )

    postgres.drop_database(name)
    assert report.problems() == {}
    assert_something_happened(report)


def assert_something_happened(report: StepReport) -> None:
    assert min(report.promises, report.children, report.replies) > 10
    assert report.effects > 200
    assert sum(report.interrupted.values()) > 0
