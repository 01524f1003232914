"""kill -9 under load: no promise is broken, no order, and nothing happens again that was recorded as done.

The long form is `scripts/faults`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.postgres import ForeignServer
from tests.system.killing import Plan, Report, kill_repeatedly

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


async def test_promises_outlive_kills_on_sqlite(tmp_path: Path):
    report = await kill_repeatedly(tmp_path, Plan(kills=3, longest_seconds=1.0))

    assert report.problems() == {}
    assert_something_happened(report)


async def test_promises_outlive_kills_on_postgresql(tmp_path: Path, postgres: ForeignServer):
    name = postgres.create_database()

    report = await kill_repeatedly(tmp_path, Plan(kills=3, longest_seconds=1.5), database=postgres.url(name))

    postgres.drop_database(name)
    assert report.problems() == {}
    assert_something_happened(report)


def assert_something_happened(report: Report) -> None:
    assert min(report.accepted, report.answered, report.replies, report.effects) > 20
    assert report.unclear > 0
