"""A function that waited for its turn does not begin when its node may not act any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crossdock.run.functions import Functions
from tests.run.walking import write
from tests.support.held_gate import HeldGate

SOURCE = """
begun = []

def plainly(name):
    begun.append(name)
    return name

async def on_the_loop(name):
    begun.append(name)
    return name
"""


def begun(functions: Functions) -> list[str]:
    found: list[str] = functions.find("work:plainly").callable.__globals__["begun"]
    return found


def functions_behind(gate: HeldGate, folder: Path) -> Functions:
    write(folder, "work.py", SOURCE)
    return Functions(folder, 1, gate=gate)


@pytest.mark.parametrize("name", ["plainly", "on_the_loop"])
async def test_a_function_begins_when_its_node_may_act_again(tmp_path: Path, name: str) -> None:
    gate = HeldGate()
    functions = functions_behind(gate, tmp_path)

    calling = asyncio.create_task(functions.call(functions.find(f"work:{name}"), {"name": "a"}, {}, 20))
    await gate.asked()
    assert begun(functions) == []
    gate.open()

    assert await calling == "a"
    functions.close()


async def test_a_thread_asks_once_more_before_the_call(tmp_path: Path) -> None:
    gate = HeldGate(closes_after=1)  # the loop passes, the thread does not
    functions = functions_behind(gate, tmp_path)

    calling = asyncio.create_task(functions.call(functions.find("work:plainly"), {"name": "a"}, {}, 20))
    await gate.asked()
    assert begun(functions) == []
    gate.open()

    assert await calling == "a"
    assert begun(functions) == ["a"]
    functions.close()


async def test_a_function_whose_run_was_taken_over_never_begins(tmp_path: Path) -> None:
    gate = HeldGate(closes_after=1)
    functions = functions_behind(gate, tmp_path)
    calling = asyncio.create_task(functions.call(functions.find("work:plainly"), {"name": "a"}, {}, 20))
    await gate.asked()

    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    gate.open()

    assert await functions.call(functions.find("work:plainly"), {"name": "b"}, {}, 20) == "b"
    assert begun(functions) == ["b"]
    functions.close()


async def test_a_process_of_its_own_is_not_asked_either(tmp_path: Path) -> None:
    gate = HeldGate()
    functions = functions_behind(gate, tmp_path)

    calling = asyncio.create_task(functions.call_isolated(functions.find("work:plainly"), {"name": "a"}, {}, 20))
    await gate.asked()
    assert not calling.done()
    gate.open()

    assert await calling == "a"
    functions.close()
