"""The flow of a workflow as a small picture: steps from top to bottom, branches side by side, loops in a frame.

The picture is for a glance; the list of cards beside it says everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

STEP_WIDTH, STEP_HEIGHT = 132, 28
GAP = 18
SIDE = 14
HEAD = 22
_LONGEST_NAME = 17


@dataclass(frozen=True, slots=True)
class FlowStep:
    """A step for the picture; `branches` are the lists of steps inside a block, with what each is called."""

    name: str
    kind: str
    state: str = ""
    branches: tuple[tuple[str, tuple[FlowStep, ...]], ...] = ()


@dataclass(slots=True)
class _Drawing:
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        middle = (y1 + y2) / 2
        way = f"V{y2:g}" if x1 == x2 else f"V{middle:g}H{x2:g}V{y2:g}"
        self.parts.append(f'<path class="flow-line" d="M{x1:g} {y1:g}{way}"/>')

    def text(self, x: float, y: float, words: str, name: str) -> None:
        self.parts.append(f'<text class="{name}" x="{x:g}" y="{y:g}">{escape(_cut(words))}</text>')


def draw_flow(steps: Sequence[FlowStep], title: str) -> Markup:
    """The picture of the steps, with the call above them and the end below."""
    width, height = _size(steps)
    width, height = max(width, STEP_WIDTH) + 2 * SIDE, height + 2 * (HEAD + GAP)
    drawing = _Drawing()
    middle = width / 2
    _round_end(drawing, middle, 2, "call")
    _list(drawing, steps, middle, HEAD + GAP)
    drawing.line(middle, height - HEAD - GAP, middle, height - HEAD)
    _round_end(drawing, middle, height - HEAD - 2, "end")
    if not steps:
        drawing.line(middle, HEAD + 2, middle, height - HEAD - 2)
    shapes = Markup("".join(drawing.parts))  # noqa: S704 - numbers and escaped names
    return Markup(
        '<svg class="flow" viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}" role="img" aria-label="{2}">{3}</svg>'
    ).format(width, height, title, shapes)


def _round_end(drawing: _Drawing, x: float, y: float, words: str) -> None:
    drawing.parts.append(f'<rect class="flow-end" x="{x - 24:g}" y="{y:g}" width="48" height="20" rx="10"/>')
    drawing.text(x, y + 14, words, "flow-word")


# --- sizes -----------------------------------------------------------------------------------------------------------


def _size(steps: Sequence[FlowStep]) -> tuple[float, float]:
    sizes = [_step_size(step) for step in steps]
    if not sizes:
        return STEP_WIDTH, 0
    return max(width for width, _ in sizes), sum(height for _, height in sizes) + GAP * (len(sizes) - 1)


def _step_size(step: FlowStep) -> tuple[float, float]:
    if not step.branches:
        return STEP_WIDTH, STEP_HEIGHT
    inner = [_size(steps) for _, steps in step.branches]
    width = sum(each for each, _ in inner) + SIDE * (len(inner) + 1)
    return max(width, STEP_WIDTH), STEP_HEIGHT + HEAD + max(height for _, height in inner) + 2 * GAP


# --- shapes ----------------------------------------------------------------------------------------------------------


def _list(drawing: _Drawing, steps: Sequence[FlowStep], middle: float, top: float) -> float:
    """Draw the steps below one another; where their end is."""
    y = top
    for step in steps:
        drawing.line(middle, y - GAP, middle, y)
        y += _step(drawing, step, middle, y) + GAP
    return y - GAP


def _step(drawing: _Drawing, step: FlowStep, middle: float, top: float) -> float:
    width, height = _step_size(step)
    if step.branches:
        left = middle - width / 2
        drawing.parts.append(
            f'<rect class="flow-frame" x="{left:g}" y="{top + STEP_HEIGHT / 2:g}" width="{width:g}"'
            f' height="{height - STEP_HEIGHT / 2:g}" rx="8"/>'
        )
        for x, name, steps, bottom in _inside(step, left, top, height):
            drawing.line(middle, top + STEP_HEIGHT, x, top + STEP_HEIGHT + HEAD)
            drawing.text(x, top + STEP_HEIGHT + HEAD + 4, name, "flow-branch")
            end = (
                _list(drawing, steps, x, top + STEP_HEIGHT + HEAD + GAP + 8) if steps else top + STEP_HEIGHT + HEAD + 8
            )
            drawing.parts.append(f'<path class="flow-line" d="M{x:g} {end:g}V{bottom:g}"/>')
    _box(drawing, step, middle, top)
    return height


def _inside(
    step: FlowStep, left: float, top: float, height: float
) -> Iterator[tuple[float, str, tuple[FlowStep, ...], float]]:
    widths = [_size(steps)[0] for _, steps in step.branches]
    x = left + (_step_size(step)[0] - sum(widths) - SIDE * (len(widths) - 1)) / 2
    for (name, steps), width in zip(step.branches, widths, strict=True):
        yield x + width / 2, name, steps, top + height
        x += width + SIDE


def _box(drawing: _Drawing, step: FlowStep, middle: float, top: float) -> None:
    state = f' data-state="{escape(step.state)}"' if step.state else ""
    drawing.parts.append(
        f'<g class="flow-step"{state}><rect x="{middle - STEP_WIDTH / 2:g}" y="{top:g}" width="{STEP_WIDTH}"'
        f' height="{STEP_HEIGHT}" rx="6"/>'
    )
    drawing.text(middle, top + 18, step.name, "flow-name")
    drawing.parts.append("</g>")


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST_NAME else words[: _LONGEST_NAME - 1] + "…"
