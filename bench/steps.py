"""What the load of many calls does not show: a thousand runs that wait, and one run with ten thousand items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import DRAIN_SECONDS, Progress, running_program
from bench.record import seconds_to_end, wait_for_waiting
from bench.scenarios import KEY
from tests.support.program import Program

FUNCTIONS = Path(__file__).parent / "functions"
WAITING_RUNS = 1_000
ITEMS = 10_000
WARM_UP_ITEMS = 500

PURE_STEP: dict[str, Any] = {"id": "next", "transform": "{{ item + 1 }}"}
PYTHON_STEP: dict[str, Any] = {"id": "next", "python": {"function": "work:touch", "arguments": {"item": "{{ item }}"}}}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Runs in a `delay` step. Memory in MB; `leases` is how many of them a process holds while they wait."""

    runs: int
    leases: int
    memory_before: float
    memory_after: float
    other_ms: float
    """How long a call of the same integration, which lets one run work at a time, takes to its end meanwhile."""


@dataclass(frozen=True, slots=True)
class Items:
    """One run with a `for_each`. Memory in MB; `peak_memory` is the most during this run."""

    step: str
    concurrency: int
    items: int
    seconds: float
    memory_before: float
    peak_memory: float

    @property
    def per_second(self) -> float:
        return self.items / self.seconds


def measure_waiting(*, database: str | None, progress: Progress) -> Waiting:
    """Let runs wait for an hour; what they cost meanwhile."""
    workflow = {"steps": [{"id": "pause", "delay": {"for": "{{ body.wait }}"}}, _touching("{{ body.number }}")]}
    document = _document("delay", workflow)
    with running_program(database, arguments=("--workflows", str(FUNCTIONS))) as program:
        url = database or f"sqlite:///{program.database_path}"
        integration = program.add_integration(document, KEY)
        progress("warming up")
        for event in _send(program, "delay", WAITING_RUNS, "PT0S"):
            seconds_to_end(url, event, within=DRAIN_SECONDS)
        before = program.memory()[0]
        progress("letting runs wait")
        _send(program, "delay", WAITING_RUNS, "PT1H")
        leases = wait_for_waiting(url, integration, WAITING_RUNS, within=DRAIN_SECONDS)
        after = program.memory()[0]
        progress("calling beside them")
        (other,) = _send(program, "delay", 1, "PT0S")
        other_ms = seconds_to_end(url, other, within=DRAIN_SECONDS) * 1_000
    return Waiting(WAITING_RUNS, leases, before, after, other_ms)


def measure_items(step: dict[str, Any], concurrency: int, *, database: str | None, progress: Progress) -> Items:
    """One run that takes every item of a list through one step."""
    kind = next(name for name in step if name != "id")
    loop = {"over": "{{ body.items }}", "concurrency": concurrency, "steps": [step]}
    workflow = {"steps": [{"id": "each", "for_each": loop}, {"id": "count", "transform": "{{ steps.each | length }}"}]}
    with running_program(database, arguments=("--workflows", str(FUNCTIONS))) as program:
        url = database or f"sqlite:///{program.database_path}"
        program.add_integration(_document("items", workflow), KEY)
        progress("warming up")
        seconds_to_end(url, _call(program, "items", {"items": [1] * WARM_UP_ITEMS}), within=DRAIN_SECONDS)
        before = program.memory()[0]
        _count_peak_anew(program)
        progress(f"{ITEMS:,} items")
        event = _call(program, "items", {"items": list(range(ITEMS))})
        seconds = seconds_to_end(url, event, within=DRAIN_SECONDS)
        peak = program.memory()[1]
    return Items(kind, concurrency, ITEMS, seconds, before, peak)


def _document(name: str, workflow: dict[str, Any]) -> dict[str, Any]:
    trigger = {"methods": ["POST"], "authentication": {"mode": "api_keys"}, "response_mode": "async", "concurrency": 1}
    return {"name": name, "type": "webhook-trigger", "path": name, "trigger": trigger, "workflow": workflow}


def _touching(item: str) -> dict[str, Any]:
    """A step that keeps its integration's only slot while it works."""
    return {"id": "touched", "python": {"function": "work:touch", "arguments": {"item": item}}}


def _send(program: Program, path: str, count: int, wait: str) -> list[str]:
    return [_call(program, path, {"wait": wait, "number": number}) for number in range(count)]


def _call(program: Program, path: str, document: Any) -> str:
    """The id of the accepted event."""
    reply = program.ask("POST", f"/hooks/default/{path}", document, headers={"X-API-Key": KEY})
    if reply.status != 202:
        raise RuntimeError(f"{path} was answered {reply.status}: {reply.body.decode(errors='replace')}")
    event: str = reply.document["id"]
    return event


def _count_peak_anew(program: Program) -> None:
    """From now on the highest memory is that since now (Linux, proc_pid_clear_refs)."""
    assert program.process is not None
    Path(f"/proc/{program.process.pid}/clear_refs").write_text("5")
