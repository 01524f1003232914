"""The waterfall of an event: what happened when, as a table with a bar in each row. Nothing is told by bars alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor, inf, log10
from typing import Any, TypeAlias

from markupsafe import Markup

from crossdock.ui.inert import visible
from crossdock.ui.rendering import format_count, format_took

Bar: TypeAlias = Mapping[str, Any]

MOST_BARS = 40
LEAST_WIDTH = 0.5
"""Percent of the whole: what took next to no time is to be seen too."""
TICKS = 4


def waterfall(bars: Sequence[Bar], duration_ms: float, link_to_step: Callable[[str], str]) -> Markup:
    """The table. `bars` are those of `manage.story`; `link_to_step` gives the address of a step's panel."""
    whole = max(duration_ms, 0.001)
    shown = _shown(bars)
    rows = Markup("").join(_row(bar, whole, link_to_step) for bar in shown)
    left_out = len(bars) - len(shown)
    foot = Markup("")
    if left_out:
        words = f"{format_count(left_out)} more steps are not drawn."
        foot = Markup('<tfoot><tr><td colspan="5" class="faint">{}</td></tr></tfoot>').format(words)
    return Markup(
        '<table class="waterfall"><caption class="visually-hidden">What happened when</caption>'
        '<thead><tr><th scope="col">What</th><th scope="col"><span class="visually-hidden">'
        'When, drawn</span>{}</th><th scope="col" class="number only-wide">Began after</th>'
        '<th scope="col" class="number">Took</th><th scope="col">State</th></tr></thead>'
        "<tbody>{}</tbody>{}</table>"
    ).format(_axis(whole), rows, foot)


def _shown(bars: Sequence[Bar]) -> list[Bar]:
    """What tells most when there are too many: what is no step, the workflow's own steps, then others in order."""
    if len(bars) <= MOST_BARS:
        return list(bars)
    order = sorted(range(len(bars)), key=lambda n: (bars[n]["kind"] == "step" and bars[n]["depth"] > 0, n))
    return [bars[n] for n in sorted(order[:MOST_BARS])]


def _row(bar: Bar, whole: float, link_to_step: Callable[[str], str]) -> Markup:
    label = visible(bar["label"])
    if bar["step"] is not None:
        label = Markup('<a href="{}">{}</a>').format(link_to_step(bar["step"]), label)
    return Markup(
        '<tr data-kind="{}" data-state="{}"><th scope="row" data-depth="{}">{}</th>'
        '<td class="waterfall-bar">{}</td><td class="number only-wide">{}</td><td class="number">{}</td>'
        "<td>{}</td></tr>"
    ).format(
        bar["kind"],
        bar["state"],
        min(bar["depth"], 4),
        label,
        _drawn(bar, whole),
        format_took(bar["start_ms"]) if bar["start_ms"] else "at once",
        format_took(bar["duration_ms"]),
        _state_words(bar),
    )


def _drawn(bar: Bar, whole: float) -> Markup:
    width = min(100.0, max(LEAST_WIDTH, bar["duration_ms"] / whole * 100))
    start = min(bar["start_ms"] / whole * 100, 100 - width)
    return Markup(
        '<svg class="bar{}" width="100%" height="14" aria-hidden="true" focusable="false">'
        '<rect class="bar-ground" y="0" width="100%" height="14" rx="3"/>'
        '<rect class="bar-fill" x="{:.2f}%" y="1" width="{:.2f}%" height="12" rx="2"/></svg>'
    ).format(" is-open" if bar["is_open"] else "", start, width)


def _axis(whole: float) -> Markup:
    """Round times along the bars."""
    step = _round_step(whole / TICKS)
    marks = Markup("").join(
        Markup('<text x="{:.2f}%" y="11" text-anchor="{}">{}</text>').format(
            n * step / whole * 100, "middle" if n else "start", _tick_words(n * step) if n else "0"
        )
        for n in range(int(whole / step * 0.97) + 1)
    )
    return Markup('<svg class="axis" width="100%" height="14" aria-hidden="true" focusable="false">{}</svg>').format(
        marks
    )


def _tick_words(milliseconds: float) -> str:
    if milliseconds < 1:
        return f"{milliseconds:g} ms"
    return format_took(milliseconds).replace(".0 s", " s").removesuffix(" 0 h")


def _round_step(least: float) -> float:
    """The next of 1, 2 and 5 times a power of ten; of seconds, minutes, hours and days where it is that long."""
    for unit, longest in ((86_400_000.0, inf), (3_600_000.0, 24), (60_000.0, 60), (1_000.0, 60)):
        if least > unit / 2:
            fitting = (n * 10.0**power for power in range(6) for n in (1, 2, 3, 5) if n * 10**power <= longest)
            return unit * next((n for n in fitting if n * unit >= least), longest)
    power = 10.0 ** floor(log10(least))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= least)


def _state_words(bar: Bar) -> str:
    state = "in progress" if bar["is_open"] and bar["state"] == "running" else bar["state"]
    if bar["kind"] == "queue":
        state = "waits" if bar["is_open"] else "canceled" if state == "canceled" else "waited"
    if bar["kind"] == "reply" and not bar["is_open"]:
        state = "delivered" if state == "succeeded" else "not delivered"
    if bar["kind"] == "wait" and state == "succeeded":
        state = "waited"
    tries = bar["attempts"]
    return f"{state}, {tries} tries" if tries > 1 and bar["kind"] != "attempt" else str(state)
