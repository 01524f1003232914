"""Traffic over time as one large picture, and the table behind it, from which a script may draw its own."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from crossdock.model.outcome import Json
from crossdock.ui.pictures.sparkline import BAR, STEP, bars, stacks, times_of, totals_in_words

HEIGHT = 200


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """A point of the picture in numbers."""

    at: str
    accepted: int
    succeeded: int
    open: int
    failed: int
    rejected: int


def traffic_chart(traffic: Json, words: str) -> Markup:
    """The bars of all points; as wide as its place."""
    width = len(traffic["accepted"]) * STEP
    said = f"{words}: {totals_in_words(traffic['total'])}"
    return Markup(
        '<svg class="traffic-chart traffic-bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><title>{}</title><path class="base" d="M0 {}h{}"/>{}</svg>'
    ).format(width, HEIGHT, said, said, HEIGHT - 0.5, width, bars(traffic, HEIGHT, STEP, BAR))


def highest(traffic: Json) -> int:
    """What the highest bar stands for."""
    return max((sum(point) for point in stacks(traffic)), default=0)


def traffic_rows(traffic: Json) -> list[TrafficRow]:
    """Every point, oldest first."""
    columns = zip(times_of(traffic), traffic["accepted"], stacks(traffic), strict=True)
    return [
        TrafficRow(at, accepted, ok, going_on, failed, refused)
        for at, accepted, (ok, going_on, failed, refused) in columns
    ]
