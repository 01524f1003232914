"""Small pictures of traffic: a bar for each point, stacked from what succeeded, failed and was refused.

`traffic` is what `manage.traffic` gives: lists of equal length, one number for each point, oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from crossdock.model.outcome import Json
from crossdock.model.time import parse_duration
from crossdock.ui.rendering import format_count

STEP, BAR = 5, 4
SPARK_HEIGHT = 30
LEAST = 1.5
"""Units of the picture; what is there at all can be seen."""
STACKED = (("succeeded", "ok"), ("open", "open"), ("failed", "failed"), ("rejected", "rejected"))
"""Counts from the bottom to the top, and the classes of their bars."""


def sparkline(traffic: Json, words: str = "Last 24 hours") -> Markup:
    """The traffic of an integration as small as a word. Its title tells the totals."""
    width = len(traffic["accepted"]) * STEP
    said = f"{words}: {totals_in_words(traffic['total'])}"
    frame = Markup(
        '<svg class="sparkline traffic-bars" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
        '<title>{}</title><path class="base" d="M0 {}h{}"/>{}</svg>'
    )
    return frame.format(
        width, SPARK_HEIGHT, width, SPARK_HEIGHT, said, said, SPARK_HEIGHT - 0.5, width, bars(traffic, SPARK_HEIGHT)
    )


def bars(traffic: Json, height: float, step: float = STEP, bar: float = BAR) -> Markup:
    """The bars alone, for a picture of this height; the highest point fills it. One path for each kind of count: a
    list has thousands of bars, and markup for each would take most of the page's time."""
    points = stacks(traffic)
    top = max((sum(point) for point in points), default=0) or 1
    paths: list[list[str]] = [[] for _ in STACKED]
    for number, point in enumerate(points):
        bottom = float(height)
        for path, count in zip(paths, point, strict=True):
            if not count:
                continue
            tall = min(max(count / top * height, LEAST), bottom)
            bottom -= tall
            path.append(f"M{number * step:g} {bottom:.1f}h{bar:g}v{tall:.1f}h-{bar:g}z")
    drawn = Markup('<path class="{}" d="{}"/>')
    named = zip(STACKED, paths, strict=True)
    return Markup("").join(drawn.format(name, "".join(path)) for (_, name), path in named if path)


def stacks(traffic: Json) -> list[tuple[int, ...]]:
    """The counts of each point in the order of STACKED; what is neither succeeded nor failed yet is open."""
    columns = [traffic[name] for name in ("accepted", "succeeded", "failed", "rejected")]
    return [
        (ok, max(0, accepted - ok - failed), failed, refused)
        for accepted, ok, failed, refused in zip(*columns, strict=True)
    ]


def totals_in_words(total: Json) -> str:
    """ "1 204 calls, 3 failed, 2 refused"."""
    accepted = total["accepted"]
    parts = [f"{format_count(accepted)} call" + ("" if accepted == 1 else "s") if accepted else "no calls"]
    parts += [f"{format_count(total[name])} {word}" for name, word in _WORDS if total[name]]
    return ", ".join(parts)


_WORDS = (("failed", "failed"), ("rejected", "refused"))


def times_of(traffic: Json) -> Sequence[str]:
    """When each point begins, as RFC 3339."""
    start = datetime.fromisoformat(traffic["start"])
    step = timedelta(seconds=parse_duration(traffic["interval"]))
    moments = [start + number * step for number in range(len(traffic["accepted"]))]
    return [moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for moment in moments]
