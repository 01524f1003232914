"""Durations as people write and read them: ISO 8601 text, plain seconds, or "1 h 30 min"."""

from __future__ import annotations

import re

from crossdock.model.time import format_duration, parse_duration

_PART = re.compile(r"(\d+(?:[.,]\d+)?)\s*([a-z]*)\.?")
_UNITS = (
    (604_800.0, ("w", "wk", "week", "weeks")),
    (86_400.0, ("d", "day", "days")),
    (3_600.0, ("h", "hr", "hrs", "hour", "hours")),
    (60.0, ("m", "min", "mins", "minute", "minutes")),
    (1.0, ("", "s", "sec", "secs", "second", "seconds")),
    (0.001, ("ms", "millisecond", "milliseconds")),
)
_SECONDS = {word: seconds for seconds, words in _UNITS for word in words}
LONGEST_NUMBER = 12
_TOLD = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def as_iso(text: str) -> str:
    """ISO 8601 of what somebody typed: "90", "60 s", "1 h 30 min", "PT60S". What can't be read comes back as it is, for
    the check of the document to refuse in its own words."""
    typed = text.strip()
    if is_duration(typed.upper()):
        return typed.upper()
    lower, parts, end = typed.lower(), [], 0
    for match in _PART.finditer(lower):
        if lower[end : match.start()].strip(" ,") or match[2] not in _SECONDS or len(match[1]) > LONGEST_NUMBER:
            return typed
        parts.append((match[1], match[2]))
        end = match.end()
    has_bare = any(not unit for _, unit in parts)
    if not parts or lower[end:].strip() or (has_bare and len(parts) > 1):
        return typed
    return format_duration(sum(float(amount.replace(",", ".")) * _SECONDS[unit] for amount, unit in parts))


def in_words(iso: str) -> str:
    """ "PT90S" is "1 minute 30 seconds"; what is no duration comes back as it is."""
    try:
        seconds = parse_duration(iso)
    except ValueError:
        return iso
    whole, parts = int(seconds), []
    for size, word in _TOLD:
        count, whole = divmod(whole, size)
        if count:
            parts.append(_counted(count, word))
    rest = round(whole + seconds - int(seconds), 3)
    if rest or not parts:
        parts.append(f"{rest:g} second" + ("" if rest == 1 else "s"))
    return " ".join(parts)


def is_duration(iso: str) -> bool:
    """Whether this is an ISO 8601 duration that Crossdock takes."""
    try:
        parse_duration(iso)
    except ValueError:
        return False
    return True


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")
