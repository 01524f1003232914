"""The steps of a run as a list for people: in the order of the workflow, a block before what is inside it. Pure.

What a loop over many items records is bounded here: a document shows what tells most, pages give the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from crossdock.manage.paging import Page, write_cursor
from crossdock.model.outcome import Json
from crossdock.model.run import StepStatus
from crossdock.model.time import Instant, format_instant
from crossdock.store.step_lines import StepLine

SHOWN_STEPS = 500
"""Steps in an event's document."""
SHOWN_BYTES = 4 * 1024 * 1024
"""Inputs and outputs in an event's document together; what is more is told by its size."""
PAGE_BYTES = 8 * 1024 * 1024
"""Inputs and outputs on a page together, unless a single step has more."""
_ALWAYS_SHOWN = 64
"""Bytes: what is as small as this is not worth telling its size."""


def in_order(lines: Sequence[StepLine]) -> list[StepLine]:
    """Blocks before what is inside them, repetitions by their number, the rest as it was first heard of."""
    heard: dict[str, int] = {}
    keys: dict[str, tuple[int, ...]] = {}
    for line in lines:
        key: list[int] = []
        for part in line.id.split("."):
            name, _, number = part.partition("[")
            key += heard.setdefault(name, len(heard)), int(number[:-1]) if number else -1
        keys[line.id] = tuple(key)
    return sorted(lines, key=lambda line: keys[line.id])


def shown_steps(lines: Sequence[StepLine]) -> list[Json]:
    """The documents of 500 steps at most: those that failed or wait and those of the workflow itself before others."""
    if len(lines) > SHOWN_STEPS:
        important = sorted(range(len(lines)), key=lambda n: (_rank(lines[n]), n))[:SHOWN_STEPS]
        lines = [lines[n] for n in sorted(important)]
    ordered = in_order(lines)
    sizes = sorted((len(memoryview(raw)), n) for n, line in enumerate(ordered) for raw in (line.input, line.output))
    fits, total = _ALWAYS_SHOWN, 0
    for size, _ in sizes:  # the smallest first: as many as possible are shown
        total += size
        if total > SHOWN_BYTES:
            break
        fits = max(fits, size)
    return [step_document(line, fits) for line in ordered]


def steps_page(lines: Sequence[StepLine], *, prefix: str, after: str | None, limit: int) -> Page:
    """The steps whose paths begin with `prefix`, those behind the path `after`; with whole inputs and outputs."""
    ordered = in_order([line for line in lines if line.id.startswith(prefix)])
    start = next((n + 1 for n, line in enumerate(ordered) if line.id == after), 0)
    items: list[Json] = []
    size = 0
    for line in ordered[start : start + limit]:
        size += len(memoryview(line.input)) + len(memoryview(line.output))
        if items and size > PAGE_BYTES:
            break
        items.append(step_document(line))
    end = start + len(items)
    return Page(items, write_cursor(ordered[end - 1].id) if end < len(ordered) else None)


def waiting_step(lines: Iterable[StepLine], due_at: Instant) -> StepLine | None:
    """The step that a run waits for which goes on at `due_at`; None when none says so."""
    return next((line for line in lines if line.until == due_at), None)


def step_document(line: StepLine, fits: int | None = None) -> Json:
    """`fits`: inputs and outputs with more bytes are told by their sizes."""
    return {
        "id": line.id,
        "type": line.kind,
        "status": line.status.value,
        "started_at": format_instant(line.started_at),
        "finished_at": format_instant(line.finished_at),
        "until": None if line.until is None else format_instant(line.until),
        "attempts": line.attempts,
        "reused": line.reused,
        "input": _value(line.input, fits),
        "output": _value(line.output, fits),
        "error": None if line.error is None else msgspec.structs.asdict(line.error),
    }


def _value(raw: msgspec.Raw, fits: int | None) -> Json:
    size = len(memoryview(raw))
    return {"truncated": True, "size": size} if fits is not None and size > fits else msgspec.json.decode(raw)


def _rank(line: StepLine) -> int:
    if line.status in (StepStatus.FAILED, StepStatus.WAITING):
        return 0
    return 1 if "." not in line.id else 2
