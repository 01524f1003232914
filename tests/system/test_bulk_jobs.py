"""kill -9 in the middle of a bulk replay: every event is replayed once, none twice, none left out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import ForeignServer
from tests.support.program import Program
from tests.support.waiting import wait_until
from tests.system.killing import prepare

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(240)]

EVENTS = 120
KILLS = 3


def items_of(program: Program, *path: str) -> list[Any]:
    """All items of a list."""
    found: list[Any] = []
    cursor = ""
    while True:
        page = program.admin("GET", f"/{'/'.join(path)}?limit=200{cursor}")
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def audit(program: Program) -> None:
    program.start()
    document = {"name": "Orders", "type": "webhook-trigger", "path": "orders", "trigger": {"response_mode": "async"}}
    made = program.add_integration({**document, "workflow": {"steps": [{"id": "one", "transform": {"a": 1}}]}})
    events = [program.call("orders", {"n": n}).document["id"] for n in range(EVENTS)]
    job = program.admin("POST", "/events/replay", {"filter": {"integration": made}, "rate": 30})
    job_path = f"/bulk-jobs/{job['id']}"

    def done() -> int:
        return int(program.admin("GET", job_path)["done"])

    def has_done(count: int) -> bool:
        return done() > count

    for part in range(KILLS):
        wait_until(partial(has_done, EVENTS * part // (KILLS + 1)))
        program.kill()
        program.start()
    assert 0 < done() < EVENTS
    wait_until(lambda: program.admin("GET", job_path)["state"] == "finished")

    items = items_of(program, "bulk-jobs", job["id"], "items")
    replays = [event for event in items_of(program, "events") if event["replay_of"] is not None]
    assert [item["event_id"] for item in items] == events
    assert [event["replay_of"] for event in reversed(replays)] == events
    assert [event["id"] for event in reversed(replays)] == [item["new_event_id"] for item in items]


def test_a_bulk_replay_outlives_kills_on_sqlite(tmp_path: Path) -> None:
    program = prepare(tmp_path, None)
    try:
        audit(program)
    finally:
        program.kill()


def test_a_bulk_replay_outlives_kills_on_postgresql(tmp_path: Path, postgres: ForeignServer) -> None:
    name = postgres.create_database()
    program = prepare(tmp_path, postgres.url(name))
    try:
        audit(program)
    finally:
        program.kill()
        postgres.drop_database(name)
