"""Workflows of all kinds, made up by Hypothesis: nested, failing, waiting, tried again, side by side."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SOURCE = """
import asyncio, collections
from crossdock import workflows

calls = collections.Counter()

async def act(key, turns, fate, times, value):
    calls[key] += 1
    for _ in range(turns):
        await asyncio.sleep(0)
    if fate == "stop" and calls[key] <= times:
        raise workflows.Stop(f"{key} stops", kind="stopped")
    if fate == "again" and calls[key] <= times:
        raise workflows.Retry(f"{key} fails for the moment")
    return {"key": key, "call": calls[key], "value": value}
"""
"""`fate` is what the first `times` calls with a key end in; `turns` of the event loop go by first."""

VARS = {"attempt": "{{ event.attempt }}"}
FATES = st.sampled_from(["ok", "ok", "again", "stop"])
LEAVES = (
    "transform", "attempt", "python", "python", "respond", "assert", "fail", "early", "delay", "emit", "http", "sql",
)  # fmt: skip
BLOCKS = ("switch", "parallel", "for_each")


class Making:
    """One workflow in the making: ids are counted up."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.count = 0

    def steps(self, known: tuple[str, ...], depth: int, item: bool = False) -> list[Any]:
        made: list[Any] = []
        for _ in range(self.draw(st.integers(1, 4 if depth == 0 else 3))):
            kinds = LEAVES + (BLOCKS * 2 if depth < 3 else ())
            step = self.step(self.draw(st.sampled_from(kinds)), known, depth, item=item)
            made.append(step)
            known = (*known, step["id"])
        return made

    def step(self, kind: str, known: tuple[str, ...], depth: int, *, item: bool) -> Any:
        self.count += 1
        step_id = f"s{self.count}"
        value = self.value(known, item=item)
        step: dict[str, Any] = {"id": step_id}
        if self.draw(st.integers(0, 9)) == 0:
            step["when"] = "body.n > 1"
        if self.draw(st.integers(0, 3)) == 0:
            step["on_error"] = "continue"
        if kind in (*BLOCKS, "python", "http", "sql") and self.draw(st.integers(0, 3)) == 0:
            step["retry"] = {"attempts": 2, "delay": self.draw(st.sampled_from(["PT0S", "PT1M"]))}
        return step | self.settings(kind, step_id, value, known, depth, item=item)

    def settings(self, kind: str, step_id: str, value: Any, known: tuple[str, ...], depth: int, *, item: bool) -> Any:
        draw = self.draw
        match kind:
            case "transform":
                return {"transform": {"value": value}}
            case "attempt":
                return {"transform": "{{ event.attempt }}"}
            case "python":
                key = f"{step_id}-{{{{ item }}}}" if item else step_id
                fate, times = draw(FATES), draw(st.integers(1, 3))
                arguments = {"key": key, "turns": draw(st.integers(0, 8)), "fate": fate, "times": times, "value": value}
                return {"python": {"function": "acting:act", "arguments": arguments}}
            case "respond":
                return {
                    "respond": {"status": draw(st.sampled_from([200, 201, 409])), "json": {"by": step_id, "v": value}}
                }
            case "assert":
                return {
                    "assert": {"that": f"body.n > {draw(st.integers(0, 3))}", "message": f"{step_id} does not hold"}
                }
            case "fail":
                return {"fail": {"message": f"{step_id} fails", "permanent": draw(st.booleans())}, "when": "body.n > 2"}
            case "early":
                return {"fail": {"message": f"{step_id} is early", "permanent": False}, "when": "event.attempt < 2"}
            case "http":
                url = f"https://erp.example/{step_id}/{draw(FATES)}/{draw(st.integers(1, 3))}"
                return {"http": {"url": url, "method": "POST", "json": value}}
            case "sql":
                parameters = {"step": step_id, "fate": draw(FATES), "times": draw(st.integers(1, 3))}
                statement = "insert into t values (:step, :fate, :times)"
                return {"sql": {"connection": "db", "statement": statement, "parameters": parameters}}
            case "delay":
                return {"delay": {"for": draw(st.sampled_from(["PT0S", "PT5M"]))}}
            case "emit":
                return {"emit": {"integration": draw(st.sampled_from(["there", "nowhere"])), "json": value}}
            case "switch":
                cases = [{"when": f"body.n > {draw(st.integers(0, 3))}", "steps": self.steps(known, depth + 1, item)}]
                return {"switch": {"cases": cases, "default": self.steps(known, depth + 1, item)}}
            case "parallel":
                names = ["left", "right", "middle"][: draw(st.integers(2, 3))]
                return {"parallel": {"branches": {name: self.steps(known, depth + 1, item) for name in names}}}
            case _:
                inner = self.steps(known, depth + 1, True)
                return {
                    "for_each": {"over": "{{ body.items }}", "steps": inner, "concurrency": draw(st.integers(1, 3))}
                }

    def value(self, known: tuple[str, ...], *, item: bool) -> Any:
        names = ["body.n", "event.attempt", "vars.attempt", *(f"steps.{step_id}" for step_id in known)]
        names += ["item"] if item else []
        return self.draw(st.sampled_from([1, *(f"{{{{ {name} }}}}" for name in names)]))


@st.composite
def workflows(draw: st.DrawFn) -> list[Any]:
    """The steps of a workflow that calls `acting:act` and emits to the integrations `there` and `nowhere`."""
    return Making(draw).steps((), 0)


bodies = st.fixed_dictionaries({"n": st.integers(0, 4), "items": st.lists(st.integers(0, 9), max_size=5)})
