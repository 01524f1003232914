"""Instants and durations.

An `Instant` is a whole number of microseconds since 1970-01-01T00:00:00Z: it sorts, subtracts and stores the same
on every database. Durations are seconds as `float` inside, and ISO 8601 (`PT60S`) outside. Years and months are
refused, because how long they are depends on when they start.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

Instant: TypeAlias = int

SECOND: Instant = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?P<time>T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d{1,6})?)S)?)?"
)
_UNITS = {"weeks": 604_800.0, "days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}
MAX_DURATION_SECONDS = 3_660 * 86_400.0


def later(moment: Instant, seconds: float) -> Instant:
    """The instant `seconds` after `moment`."""
    return moment + round(seconds * SECOND)


def seconds_between(start: Instant, end: Instant) -> float:
    return (end - start) / SECOND


def parse_duration(text: str) -> float:
    """Seconds of an ISO 8601 duration such as `PT60S`, `P1DT12H` or `P2W`; ValueError with a reason otherwise."""
    if not isinstance(text, str) or len(text) > 64:
        raise ValueError("a duration is ISO 8601 text such as PT60S, PT5M or P30D")
    match = _DURATION.fullmatch(text)
    if match is None:
        if re.fullmatch(r"P(?:\d+Y)?(?:\d+M)?(?:\d+[WD])*(?:T.*)?", text):
            raise ValueError("years and months are not fixed lengths; use days (P30D)")
        raise ValueError(f"{text!r} is not an ISO 8601 duration; write it like PT60S, PT5M, PT24H or P30D")
    amounts = {unit: match[unit] for unit in _UNITS if match[unit] is not None}
    if not amounts or match["time"] == "T":
        raise ValueError(f"{text!r} has no amount; write it like PT60S, PT5M, PT24H or P30D")
    seconds = sum(float(amount.replace(",", ".")) * _UNITS[unit] for unit, amount in amounts.items())
    if seconds > MAX_DURATION_SECONDS:
        raise ValueError("a duration is ten years at most")
    return seconds


def format_duration(seconds: float) -> str:
    """The ISO 8601 text of `seconds`: whole days as `P30D`, everything else in hours, minutes and seconds."""
    whole, fraction = divmod(round(seconds * SECOND), SECOND)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    second_text = f"{secs}.{fraction:06d}".rstrip("0") if fraction else str(secs)
    if seconds == 60:  # the way people write it
        return "PT60S"
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    time += f"{second_text}S" if secs or fraction else ""
    date = f"{days}D" if days else ""
    if not date and not time:
        return "PT0S"
    return "P" + date + (f"T{time}" if time else "")


def format_instant(moment: Instant) -> str:
    """RFC 3339 in UTC with `Z`, to the millisecond."""
    seconds, rest = divmod(moment, SECOND)
    return f"{_format_second(seconds)}.{rest // 1_000:03d}Z"


@lru_cache(maxsize=64)
def _format_second(seconds: int) -> str:
    """Every answer tells a time, and thousands of them the same second."""
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def parse_instant(text: str) -> Instant:
    """The instant of an RFC 3339 time; ValueError when it is not one or names no offset."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "T"))
    except ValueError:
        raise ValueError(f"{text!r} is not an RFC 3339 time; write it like 2026-11-22T14:03:12Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no offset; end it with Z for UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)
