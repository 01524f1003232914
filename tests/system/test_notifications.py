"""kill -9 while integrations fail and recover: every change that a webhook asks for is told, once, and in order.

The long form is `scripts/faults --notifications`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.killing import Plan
from tests.system.notifying import NotifyingPlan, NotifyingReport, kill_while_notifying

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]


async def test_each_change_is_told_once_whatever_kills(tmp_path: Path):
    plan = NotifyingPlan(Plan(kills=3, shortest_seconds=0.4, longest_seconds=1.0), refused_share=0.003)

    report = await kill_while_notifying(tmp_path, plan)

    assert report.problems() == {}
    assert_something_happened(report)
    assert report.told == report.asked_for == report.notifications


async def test_the_last_state_gets_through_damping_whatever_kills(tmp_path: Path):
    plan = NotifyingPlan(Plan(kills=2, shortest_seconds=1.0, longest_seconds=1.5), damping=2.0)

    report = await kill_while_notifying(tmp_path, plan)

    assert report.problems() == {}
    assert_something_happened(report)
    assert report.told < report.asked_for


def assert_something_happened(report: NotifyingReport) -> None:
    assert min(report.acknowledged, report.failed_runs, report.notifications) > 10
    assert report.changes > 5
    assert report.unclear > 0
    assert report.tokens > 1
