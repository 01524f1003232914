"""kill -9 while integrations fail and recover: every change that a webhook asks for is told, once, and in order; and
much at once, when an integration flaps or a thousand webhooks hear of it.

The long form is `scripts/faults --notifications`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.system.cluster import until
from tests.system.killing import Plan, url_of
from tests.system.notifying import NotifyingPlan, NotifyingReport, kill_while_notifying
from tests.system.notifying_calling import failing_integration
from tests.system.notifying_crowds import ALL, FLAPPING, Crowd, a_crowd, fan_out, flap
from tests.system.notifying_record import read_notifying_record

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


async def test_flapping_is_damped_and_its_end_is_told(tmp_path: Path):
    async with a_crowd(tmp_path, "PT2S") as crowd:
        lane = {"ordered_delivery": True, "on_exhausted": "skip"}
        await crowd.add(failing_integration("flapping", health=FLAPPING, trigger=lane))
        await crowd.add_webhook("all", filters={"statuses": ALL})
        memory_before, _ = crowd.program.memory()

        calls = await flap(crowd, "flapping", seconds=6.0)
        await crowd.call("flapping", {"fail": "this is the end"})
        await until(lambda: is_over(crowd), 60.0, "the last state is told")

        told = [arrival.body["data"]["status"] for arrival in crowd.told()]
        assert calls > 100
        assert told[-1] == "error"
        assert 1 <= told.count("error") < 15  # once in two seconds, and the machine may be slow
        rows = await asyncio.to_thread(crowd.rows, "outcome", "held_notice", "health_issue", "told")
        assert rows["outcome"] == rows["held_notice"] == 0
        assert rows["told"] == 1
        assert rows["health_issue"] < calls
        assert crowd.program.memory()[0] < memory_before + 40


async def is_over(crowd: Crowd) -> bool:
    """Whether the last message tells the last state and nothing is left to be told."""
    record = await asyncio.to_thread(read_notifying_record, url_of(crowd.program, None))
    if not record.is_quiet or not record.changes or not crowd.told():
        return False
    last = crowd.told()[-1].body["data"]
    return bool(last["status"] == record.changes[-1].status == "error")


async def test_a_thousand_webhooks_hear_of_one_change_once(tmp_path: Path):
    async with a_crowd(tmp_path, "PT0S") as crowd:
        heard = await fan_out(crowd, 1_000, calm_seconds=0.5)

    assert (heard.messages, heard.told) == (1_000, 1_000)
    assert heard.replies_meanwhile > 0
