"""How long runs took over time: a line for the median and one for the slow ones, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from crossdock.model.outcome import Json
from crossdock.ui.pictures.sparkline import times_of
from crossdock.ui.rendering import format_took, joined

STEP, HEIGHT = 5, 120
LINES = ("p50", "p95")


def durations_chart(traffic: Json, words: str) -> Markup:
    """Both lines; a point without runs breaks them. `traffic` is that of one integration."""
    series = {name: traffic["duration_ms"][name] for name in LINES}
    top = slowest(traffic) or 1.0
    width = len(traffic["accepted"]) * STEP
    total = traffic["total"]["duration_ms"]
    said = f"{words}: half of the runs within {format_took(total['p50'])}, 95 % within {format_took(total['p95'])}"
    lines = [
        Markup('<path class="line {}" d="{}"/>').format(name, _path(values, top)) for name, values in series.items()
    ]
    return Markup(
        '<svg class="durations-chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<title>{}</title><path class="base" d="M0 {}h{}"/>{}</svg>'
    ).format(width, HEIGHT, said, said, HEIGHT - 0.5, width, joined(*reversed(lines)))


def slowest(traffic: Json) -> float:
    """What the top of the picture stands for, in milliseconds; 0 where nothing ran."""
    return max((value for name in LINES for value in traffic["duration_ms"][name] if value is not None), default=0.0)


def duration_rows(traffic: Json) -> list[tuple[str, float | None, float | None]]:
    """Each point with runs: when it begins, the median and the 95th percentile in milliseconds."""
    columns = zip(times_of(traffic), traffic["duration_ms"]["p50"], traffic["duration_ms"]["p95"], strict=True)
    return [row for row in columns if row[1] is not None]


def _path(values: Sequence[float | None], top: float) -> str:
    """A step for each point, as wide as the point, so that a single one is seen, too."""
    parts, is_drawing = [], False
    for number, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        y = f"{HEIGHT - 2 - value / top * (HEIGHT - 4):.1f}"
        parts.append(f"V{y}h{STEP}" if is_drawing else f"M{number * STEP} {y}h{STEP}")
        is_drawing = True
    return "".join(parts)
