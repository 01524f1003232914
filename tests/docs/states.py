"""`docs/states.md`, made from the tables of the model: `python -m tests.docs.states` writes it, a test compares.

The page has words of its own above the line that says that the rest is generated; those are kept.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from crossdock.model import bulk, states

PAGE = Path(__file__).resolve().parents[2] / "docs" / "states.md"
MARK = "<!-- generated: python -m tests.docs.states -->"


@dataclass(frozen=True)
class Machine:
    """One kind of thing with states. `moves`: for each move, the states it may start from, and where it leads."""

    title: str
    states: type[StrEnum]
    kinds: type[StrEnum]
    moves: Mapping[Any, tuple[frozenset[Any], Any]]
    final: frozenset[Any]


MACHINES = (
    Machine("A run", states.RunState, states.RunMove, states.RUN_MOVES, states.FINAL_RUN_STATES),
    Machine(
        "A delivery", states.DeliveryState, states.DeliveryMove, states.DELIVERY_MOVES, states.FINAL_DELIVERY_STATES
    ),
    Machine("A bulk job", bulk.BulkState, bulk.BulkMove, bulk.BULK_MOVES, bulk.FINAL_BULK_STATES),
)


def written_meanings(words: type[StrEnum]) -> dict[str, str]:
    """Each member's docstring, as it stands below it in the source."""
    body = ast.parse(inspect.getsource(words)).body[0]
    assert isinstance(body, ast.ClassDef)
    meanings: dict[str, str] = {}
    name = ""
    for node in body.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                continue
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                meanings[words[name].value] = text
    return meanings


def page() -> str:
    """What the page says after its mark."""
    return "\n".join(line for machine in MACHINES for line in _machine(machine)) + "\n"


def _machine(machine: Machine) -> Iterator[str]:
    yield f"## {machine.title}"
    yield ""
    yield from _diagram(machine)
    yield ""
    yield from _table("state", machine.states)
    yield ""
    if machine.states is states.RunState:
        yield "A run that is `waiting` says for what:"
        yield ""
        yield from _table("waiting for", states.WaitingFor)
        yield ""
    yield "| move | from | to | when |"
    yield "|---|---|---|---|"
    meanings = written_meanings(machine.kinds)
    for move, (allowed, target) in machine.moves.items():
        origins = ", ".join(f"`{state}`" for state in machine.states if state in allowed)
        yield f"| {move} | {origins} | `{target}` | {meanings[move.value]} |"
    yield ""


def _diagram(machine: Machine) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(iter(machine.states)).value}"
    for origin in machine.states:
        for target in machine.states:
            moves = [move.value for move, (allowed, to) in machine.moves.items() if origin in allowed and to is target]
            if moves:
                yield f"    {origin.value} --> {target.value}: {', '.join(moves)}"
    for state in machine.states:
        if state in machine.final:
            yield f"    {state.value} --> [*]"
    yield "```"


def _table(title: str, words: type[StrEnum]) -> Iterator[str]:
    meanings = written_meanings(words)
    yield f"| {title} | meaning |"
    yield "|---|---|"
    for word in words:
        yield f"| `{word}` | {meanings[word.value]} |"


def written() -> tuple[str, str]:
    """The page's own words, and what stands there as generated."""
    own, _, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    return own, rest.lstrip("\n")


def main() -> None:
    own, _ = written()
    PAGE.write_text(f"{own}{MARK}\n\n{page().rstrip()}\n", encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
