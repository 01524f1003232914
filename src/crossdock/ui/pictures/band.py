"""The health of an integration over time as a band: a stretch of colour for each state, with a table behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from crossdock.model.outcome import Json
from crossdock.model.time import SECOND, Instant, format_instant, parse_instant
from crossdock.ui.rendering import format_took, joined

WIDTH, HEIGHT = 1_000, 26
LEAST = 2.0
"""Units of the picture: a state that went by quickly is seen, too."""
UNKNOWN = "unknown"
_STATE_WORDS = {UNKNOWN: "Not known"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A state from one moment to another. `causes` are the messages that came with it."""

    state: str
    start: Instant
    end: Instant
    causes: tuple[str, ...] = ()

    @property
    def start_text(self) -> str:
        return format_instant(self.start)

    @property
    def word(self) -> str:
        return _STATE_WORDS.get(self.state, self.state.capitalize())

    @property
    def lasted(self) -> str:
        return format_took((self.end - self.start) / 1_000)


def stretches(health: Json, created_at: str, start: Instant, end: Instant) -> list[Stretch]:
    """The states between two moments, oldest first. `health` is what `manage.health` shows, its history newest first;
    before the oldest change that it tells, the state is known only where there is no older one."""
    changes = health["history"]
    found: list[Stretch] = []
    until, state = end, str(health["status"])
    for position, change in enumerate(changes):
        at = parse_instant(change["at"])
        if position == 0 and change["status"] != state:  # it was switched a moment ago, and nothing judged it yet
            since = max(parse_instant(health["since"]), at)
            found.append(Stretch(state, since, until))
            until = since
        causes = tuple(one["message"] for one in change["issues"])
        found.append(Stretch(change["status"], at, until, causes))
        until, state = at, str(change["previous_status"])
    if health["next"] is not None:
        found.append(Stretch(UNKNOWN, start, until))
    else:
        found.append(Stretch(state, parse_instant(created_at), until))
    cut = [Stretch(one.state, max(one.start, start), min(one.end, end), one.causes) for one in found]
    return [one for one in reversed(cut) if one.start < one.end]


def band(shown: Sequence[Stretch], start: Instant, end: Instant, words: str) -> Markup:
    """The picture. Its title tells how long each state lasted."""
    said = f"{words}: {in_words(shown)}"
    drawn = []
    for one in shown:
        left = (one.start - start) / (end - start) * WIDTH
        wide = max((one.end - one.start) / (end - start) * WIDTH, LEAST)
        told = f"{one.word} for {one.lasted}" + (f": {one.causes[0]}" if one.causes else "")
        drawn.append(
            Markup('<rect data-state="{}" x="{:.1f}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
                one.state, min(left, WIDTH - LEAST), wide, HEIGHT, told
            )
        )
    return Markup(
        '<svg class="band" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, said, joined(*drawn))


def in_words(shown: Sequence[Stretch]) -> str:
    """ "active 22 h, warning 1 h 12 min"."""
    lasted: dict[str, Instant] = {}
    for one in shown:
        lasted[one.word.lower()] = lasted.get(one.word.lower(), 0) + one.end - one.start
    told = sorted(lasted.items(), key=lambda item: -item[1])
    return ", ".join(f"{word} {format_took(length / 1_000)}" for word, length in told) or "nothing is known"


def span_of(word: str) -> Instant:
    """How long the band is: `P7D`, or a day."""
    return (7 if word == "P7D" else 1) * 86_400 * SECOND
