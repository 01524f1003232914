"""Hostile targets: healthy integrations get their replies, and the hostile ones do what they are said to do.

The long form, which judges percentiles, is `scripts/faults --hostile`.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.hostile_targets import HOSTILE, HostilePlan, HostileReport, Times, beset, running_hostile

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]

CALM = Times(answer_p99=20.0, lag_p99=100.0, calls=100, statuses={"202": 100})
GOOD = HostileReport(5, 20, CALM, CALM, dict.fromkeys(HOSTILE, 9))


async def test_healthy_integrations_get_their_replies_beside_hostile_targets(tmp_path: Path):
    report = await beset(tmp_path, HostilePlan(seconds=4.0, warm_seconds=1.0, rate=60.0))

    assert report.problems() == {}
    assert (report.healthy, report.hostile) == (20, 5)
    assert report.beset.calls > 200


def test_good_figures_are_no_problem():
    assert (GOOD.problems(), GOOD.shortfalls()) == ({}, {})


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("undelivered", replace(GOOD, beset=replace(CALM, undelivered=1))),
        ("refused", replace(GOOD, beset=replace(CALM, statuses={"202": 99, "503": 1}))),
        ("not_met", replace(GOOD, attempts_on_hostile={"drip": 1})),
    ],
)
def test_broken_promise_is_found(name: str, report: HostileReport):
    assert list(report.problems()) == [name]


@pytest.mark.parametrize(
    ("name", "times"),
    [("answers_slowed", replace(CALM, answer_p99=41.0)), ("replies_slowed", replace(CALM, lag_p99=201.0))],
)
def test_percentile_that_more_than_doubles_is_found(name: str, times: Times):
    assert list(replace(GOOD, beset=times).shortfalls()) == [name]


@pytest.mark.parametrize(
    ("behaviour", "begins"),
    [
        ("drip", b"HTTP/1.1 200 "),
        ("endless", b"HTTP/1.1 200 "),
        ("loop", b"HTTP/1.1 307 "),
        ("hang", b""),
        ("reset", b""),
    ],
)
def test_hostile_target_does_what_it_is_said_to_do(behaviour: str, begins: bytes):
    with running_hostile() as port, socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        connection.sendall(f"POST /{behaviour}/steps HTTP/1.1\r\nHost: here\r\n\r\n".encode())

        met: type[OSError] | None = None
        answer = b""
        try:
            answer = connection.recv(13)
        except OSError as error:
            met = type(error)

    assert answer == begins
    assert met is {"hang": TimeoutError, "reset": ConnectionResetError}.get(behaviour)
