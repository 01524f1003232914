"""Events over time as stacked bars: each is a link that narrows the list to its time. The same numbers stand in a
table behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from crossdock.model.time import SECOND, Instant, format_instant, parse_duration, parse_instant
from crossdock.ui.rendering import format_count, time_element

KINDS = ("succeeded", "unfinished", "canceled", "failed", "rejected")
"""From bottom to top: what is well, and on it what is not."""
WORDS: Mapping[str, str] = {
    "succeeded": "succeeded",
    "unfinished": "not ended yet",
    "canceled": "canceled",
    "failed": "failed",
    "rejected": "refused",
}
WIDTH, HEIGHT, GAP = 1_000, 96, 0.16
_STATES: Mapping[str, str] = {"unfinished": "running"}
"""The state that gives a kind its colour, where it has another name."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all bars have in common: the highest number of events, their kinds, and how wide a bar is with its gap."""

    highest: int
    kinds: Sequence[str]
    width: float


def histogram(counts: Mapping[str, Any], link: Callable[[str, str], str], kinds: Sequence[str] = KINDS) -> Markup:
    """`counts` are those of `manage.traffic`; `link` gives the address of the list between two times."""
    start, step = parse_instant(counts["start"]), round(parse_duration(counts["interval"]) * SECOND)
    columns = [[int(counts[kind][n]) for kind in kinds] for n in range(len(counts["accepted"]))]
    highest = max((sum(column) for column in columns), default=0)
    times = [(format_instant(start + n * step), format_instant(start + (n + 1) * step)) for n in range(len(columns))]
    links = [escape(link(*each)) for each in times]
    frame = _Frame(highest, kinds, WIDTH / max(1, len(columns)))
    bars = "".join(_bar(frame, n, column, times[n][0], links[n]) for n, column in enumerate(columns))
    picture = Markup(
        '<svg class="histogram-picture" viewBox="0 0 {} {}" preserveAspectRatio="none" width="100%" height="{}" '
        'data-histogram data-start="{}" data-step="{}" data-count="{}" role="group" '
        'aria-label="Events over time, one bar each {}"><rect class="histogram-ground" width="{}" height="{}"/>{}'
        '<rect class="histogram-span" width="0" height="{}" hidden/></svg>'
    ).format(
        WIDTH,
        HEIGHT,
        HEIGHT,
        times[0][0],
        step // 1_000,
        len(columns),
        step_words(step),
        WIDTH,
        HEIGHT,
        Markup(bars),  # noqa: S704 - see _bar
        HEIGHT,
    )
    return Markup('<div class="histogram">{}{}{}{}</div>').format(
        _top(highest), picture, _times(times), _table(columns, times, kinds, links)
    )


def step_words(step: Instant) -> str:
    """`5 min`, `2 h`, `1 d`: how wide a bar is."""
    minutes = step // (60 * SECOND)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 1_440 else f"{minutes // 1_440} d"


def _bar(frame: _Frame, n: int, column: Sequence[int], start: str, href: Markup) -> str:
    """As text: there are a hundred of them, and all in them is numbers, words of ours, and `href`, which is escaped."""
    x, inner = (n + GAP / 2) * frame.width, (1 - GAP) * frame.width
    told = f"{start[:10]} {start[11:16]} UTC: {_words(column, frame.kinds)}"
    parts, y = "", float(HEIGHT)
    for kind, number in zip(frame.kinds, column, strict=True):
        if number:
            height = max(1.5, number / frame.highest * (HEIGHT - 2))
            y -= height
            parts += f'<rect data-state="{_STATES.get(kind, kind)}" x="{x:.2f}" y="{max(0.0, y):.2f}" '
            parts += f'width="{inner:.2f}" height="{height:.2f}"/>'
    place = f'x="{n * frame.width:.2f}" width="{frame.width:.2f}"'
    return (
        f'<a href="{href}" tabindex="-1" data-bar="{n}" aria-label="{told}"><title>{told}</title>'
        f'<rect class="histogram-target" {place} height="{HEIGHT}"/>{parts}</a>'
    )


def _words(column: Sequence[int], kinds: Sequence[str]) -> str:
    told = [f"{format_count(number)} {WORDS[kind]}" for kind, number in zip(kinds, column, strict=True) if number]
    return ", ".join(told) or "nothing"


def _top(highest: int) -> Markup:
    return Markup('<p class="histogram-top faint small" aria-hidden="true">{}</p>').format(format_count(highest))


def _times(times: Sequence[tuple[str, str]]) -> Markup:
    """The beginning, the middle and the end in words below the picture."""
    marks = (times[0][0], times[len(times) // 2][0], times[-1][1])
    return Markup('<div class="histogram-times faint small" aria-hidden="true">{}{}{}</div>').format(
        *(time_element(mark) for mark in marks)
    )


def _table(
    columns: Sequence[Sequence[int]],
    times: Sequence[tuple[str, str]],
    kinds: Sequence[str],
    links: Sequence[Markup],
) -> Markup:
    head = "".join(f'<th scope="col" class="number">{WORDS[kind].capitalize()}</th>' for kind in kinds)
    rows = "".join(
        f'<tr><th scope="row"><a href="{links[n]}">{time_element(times[n][0])}</a></th>{_cells(column)}</tr>'
        for n, column in enumerate(columns)
        if any(column)
    )
    if not rows:
        return Markup("")
    return Markup(
        '<details class="histogram-table"><summary>As a table</summary><div class="table-frame"><table>'
        '<thead><tr><th scope="col">From</th>{}</tr></thead><tbody>{}</tbody></table></div></details>'
    ).format(Markup(head), Markup(rows))  # noqa: S704 - numbers, times and escaped links


def _cells(column: Sequence[int]) -> str:
    return "".join(f'<td class="number">{format_count(each)}</td>' for each in column)
