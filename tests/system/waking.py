"""Two nodes that need each other: one takes calls, manages and delivers, the other one works on runs.

`python -m tests.system.waking` prints how long each thing takes that one of them hears from the other.
"""

from __future__ import annotations

import asyncio
import base64
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support.postgres import ForeignServer, OwnServer
from tests.support.program import Program
from tests.support.sink import Sink
from tests.support.waiting import wait_until
from tests.system.killing import FUNCTIONS

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
THREADS = 12
"""A canceled function keeps its thread until the gate opens, and there are 16 of them."""
STEPS = [{"id": "answer", "respond": {"json": {"number": "{{ body.number }}"}}}]
OPEN = {"methods": ["POST"], "authentication": {"mode": "none"}}
HELD = [{"id": "held", "python": {"function": "effects:wait_for_gate", "arguments": {"event": "{{ event.id }}"}}}]


def document(name: str, steps: list[dict[str, Any]], trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
    shape = {"name": name, "type": "webhook-trigger", "path": name}
    return {**shape, "trigger": {**OPEN, **trigger}, "workflow": {"steps": steps}, **more}


@dataclass(slots=True)
class Pair:
    """`door` has no runs of its own, `worker` answers nobody who called at the door."""

    door: Program
    worker: Program
    sink: Sink
    gate: Path

    def start(self) -> None:
        """Start both, with integrations that have been called once."""
        for program in (self.door, self.worker):
            program.start()
        self.door.add_integration(document("asked", STEPS, {"response_mode": "sync"}))
        lanes = {"response_mode": "sync", "ordered_delivery": True, "ordering_key": "{{ body.lane }}"}
        self.door.add_integration(document("lanes", STEPS, lanes))
        reply = {"url": f"{self.sink.url}/reply", "method": "POST"}
        self.door.add_integration(document("replying", STEPS, {"response_mode": "async"}, reply=reply))
        self.door.add_integration(document("held", HELD, {"response_mode": "async"}))
        wait_until(lambda: self.worker.call("asked", {"number": 0}).status == 200)
        assert self.worker.call("lanes", {"number": 0, "lane": "L"}).status == 200  # the worker owns the lane now

    def wait_until_hearing(self, is_hearing: bool = True) -> None:
        wait_until(lambda: {hears(program) for program in (self.door, self.worker)} == {is_hearing})

    def end(self) -> None:
        self.gate.touch()
        for program in (self.door, self.worker):
            program.kill()

    # --- what one hears from the other ---

    def ask_here(self, number: int) -> float:
        """Call at the worker for what it does itself: what the others are to be compared with."""
        return _timed(lambda: _has(self.worker.call("asked", {"number": number}), {"number": number}))

    def ask(self, number: int) -> float:
        """Call at the door for what the worker does."""
        return _timed(lambda: _has(self.door.call("asked", {"number": number}), {"number": number}))

    def ask_in_lane(self, number: int) -> float:
        """Call at the door for what happens in a lane that the worker owns."""
        return _timed(lambda: _has(self.door.call("lanes", {"number": number, "lane": "L"}), {"number": number}))

    def ask_in_new_lane(self, number: int) -> float:
        """Call at the door for what happens in a lane that nobody owns."""
        body = {"number": number, "lane": f"N{number}"}
        return _timed(lambda: _has(self.door.call("lanes", body), {"number": number}))

    def configure(self, number: int) -> float:
        """Set an integration up at the door, and call it at the worker."""
        name = f"new_{number}"
        self.door.add_integration(document(name, STEPS, {"response_mode": "async"}))
        return _timed(lambda: wait_until(lambda: self.worker.call(name, {"number": 1}).status == 202))

    def cancel(self, _number: int = 0) -> float:
        """Stop at the door what the worker works on."""
        event_id = self.door.call("held", {}).document["id"]
        wait_until(lambda: self._state(event_id) == "running")
        self.door.admin("POST", f"/events/{event_id}/cancel")
        return _timed(lambda: wait_until(lambda: self._state(event_id) == "canceled"))

    def reply(self, number: int) -> float:
        """Call at the door; the worker makes a reply, which the door sends."""
        before = len(self.sink.requests)
        began = time.monotonic()
        assert self.door.call("replying", {"number": number}).status == 202
        wait_until(lambda: len(self.sink.requests) > before)
        return time.monotonic() - began

    def _state(self, event_id: str) -> str:
        return str(self.door.admin("GET", f"/events/{event_id}")["status"])


WAYS: dict[str, Callable[[Pair, int], float]] = {
    "sync call, run here": Pair.ask_here,
    "sync call, run elsewhere": Pair.ask,
    "sync call, lane owned elsewhere": Pair.ask_in_lane,
    "sync call, lane of nobody": Pair.ask_in_new_lane,
    "reply sent elsewhere": Pair.reply,
    "configuration elsewhere": Pair.configure,
    "cancel elsewhere": Pair.cancel,
}


@asynccontextmanager
async def a_pair(folder: Path, url: str, **settings: str) -> AsyncIterator[Pair]:
    """Not started yet; nothing of it is left afterwards."""
    sink = Sink()
    await sink.start()
    gate = folder / "gate"
    programs = [_program(folder, url, roles, gate, settings) for roles in ("receive,web,deliver", "receive,run")]
    pair = Pair(programs[0], programs[1], sink, gate)
    try:
        yield pair
    finally:
        await asyncio.to_thread(pair.end)
        await sink.stop()


def _program(folder: Path, url: str, roles: str, gate: Path, settings: dict[str, str]) -> Program:
    given = {"allowed_targets": "127.0.0.1", "master_key": MASTER_KEY, "roles": roles, **settings}
    place = folder / roles.replace(",", "_")
    made = Program(place, database=url, settings=given, arguments=["--workflows", str(FUNCTIONS)])
    made.environment |= {"EFFECT_LEDGER": str(folder / "effects"), "GATE": str(gate)}
    return made


def hears(program: Program) -> bool:
    text = program.ask("GET", "/metrics").body.decode()
    return "\ncrossdock_signals_hearing 1.0\n" in text


def _has(reply: Any, wanted: Any) -> None:
    assert (reply.status, reply.document) == (200, wanted), reply


def _timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def waits_for_a_start(url: str, path: str) -> list[float]:
    """Seconds from the acceptance of each call at an integration to the start of its run."""
    query = (
        "SELECT (run.started_at - run.accepted_at) / 1e6 FROM run JOIN integration ON integration.id = integration_id"
        " WHERE integration.path = %s ORDER BY run.accepted_at"
    )
    with psycopg.connect(url) as connection:
        return [float(row[0]) for row in connection.execute(query, (path,))]


async def measure(server: ForeignServer, folder: Path, rounds: int) -> None:
    name = server.create_database()
    async with a_pair(folder, server.url(name)) as pair:
        await asyncio.to_thread(pair.start)
        await asyncio.to_thread(pair.wait_until_hearing)
        for title, way in WAYS.items():
            times = min(rounds, THREADS) if way is Pair.cancel else rounds
            took = [await asyncio.to_thread(way, pair, number) for number in range(1, times + 1)]
            _print(title, took)
        _print("from acceptance to start elsewhere", waits_for_a_start(server.url(name), "replying"))


def _print(title: str, took: Sequence[float]) -> None:
    p50, p99 = statistics.median(took), sorted(took)[int(len(took) * 0.99)]
    print(f"{title:34} p50 {p50 * 1e3:7.1f} ms   p99 {p99 * 1e3:7.1f} ms   ({len(took)} times)", flush=True)


def main() -> None:
    server = OwnServer(durable=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(server, Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 100))
    finally:
        server.remove()


if __name__ == "__main__":
    main()
