"""Templates as pages: the Jinja environment, what every template may use, and how values are shown.

Everything is escaped unless a macro or a picture of ours made it. Times come as the API writes them and are shown in
UTC; a script puts them into local time, in the same width.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2_fragments import render_block
from markupsafe import Markup, escape
from starlette.responses import Response

from crossdock.clock import system_now
from crossdock.model.time import Instant, format_instant, parse_instant, seconds_between
from crossdock.ui.browsers import describe_browser
from crossdock.ui.inert import visible
from crossdock.ui.static import static_path

HTML = "text/html; charset=utf-8"
PARTS = ("icons", "frame", "forms", "words", "people", "credentials")
"""Files of macros, which every template has under these names."""

_UNITS_OF_TIME = ((60.0, 1, "s"), (3_600.0, 60, "min"), (172_800.0, 3_600, "h"), (float("inf"), 86_400, "d"))
"""Up to how many seconds time passed is told in a unit, and how many seconds that has."""
_FIRST_WORDS = {"a", "an", "another", "it", "no", "nobody", "only", "somebody", "that", "the", "there", "this", "what"}
_UNITS = ("bytes", "KiB", "MiB", "GiB")


def html(text: str, status: int = 200) -> Response:
    """A page that no cache keeps. Halves of surrogate pairs, which JSON can hold and UTF-8 can't, become `?`."""
    return Response(text.encode("utf-8", "replace"), status, {"cache-control": "no-store"}, media_type=HTML)


def render(template: str, **names: Any) -> str:
    return environment().get_template(template).render(names)


def render_part(template: str, block: str, **names: Any) -> str:
    """One block of a template, for a page that replaces a part of itself."""
    return render_block(environment(), template, block, **names)


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("crossdock.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(static=static_path)
    made.filters.update(
        time=time_element,
        ago=ago_element,
        browser=describe_browser,
        bytes=format_bytes,
        count=format_count,
        took=format_took,
        pretty=pretty,
        query=query_string,
        sentence=sentence,
        visible=visible,
    )
    # macros as globals: a block that is rendered alone knows nothing of what its template imports
    parts = {name: made.get_template(f"parts/{name}.html").module for name in PARTS}
    made.globals.update(icon=parts["icons"].icon, **parts)  # type: ignore[attr-defined]
    return made


def time_element(value: str | Instant | None, form: str = "full", otherwise: str = "never") -> Markup:
    """A moment in a `time` element: `full` with seconds, `exact` with milliseconds, `day` without a time of day."""
    if value is None:
        return Markup('<span class="faint">{}</span>').format(otherwise)
    text = value if isinstance(value, str) else format_instant(value)
    full = f"{text[:10]} {text[11:19]}"
    exact = f"{text[:10]} {_exact(text)}" if form == "exact" else full
    shown = {"day": text[:10], "exact": exact, "ago": format_ago(text, system_now())}.get(form, full)
    return Markup('<time datetime="{}" data-form="{}" title="{} UTC">{}</time>').format(text, form, exact, shown)


def ago_element(value: str | Instant | None, otherwise: str = "never") -> Markup:
    """A moment as time passed ("3 min ago"); a script goes on counting in the same words (`times.js`)."""
    return time_element(value, "ago", otherwise)


def format_ago(text: str, now: Instant) -> str:
    """How long ago an RFC 3339 time was, or in how long it will be: "now", "12 s ago", "in 3 min", "2 d ago"."""
    seconds = seconds_between(parse_instant(text), now)
    past = abs(seconds)
    if past < 5:
        return "now"
    told = next(f"{int(past // length)} {unit}" for limit, length, unit in _UNITS_OF_TIME if past < limit)
    return f"{told} ago" if seconds >= 0 else f"in {told}"


def _exact(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1_000:03d}"


def sentence(text: str) -> str:
    """An error's words as they begin a paragraph. Names and fields that they begin with stay as they are."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0] in _FIRST_WORDS else text


def format_bytes(size: int) -> str:
    """1536 is "1.5 KiB"."""
    value = float(size)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"


def format_count(number: float) -> str:
    """Thousands apart by a narrow no-break space."""
    return f"{number:,}".replace(",", "\u202f")


def format_took(milliseconds: float | None) -> str:
    """How long something took, with two or three digits that matter: "41 ms", "2.3 s", "4 min 10 s"."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1:
        return "< 1 ms"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def pretty(value: object) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def query_string(fields: dict[str, Any], **changes: Any) -> str:
    """`?a=1&b=2` of the fields with the changes, without empty ones: the shortest URL stands for a state."""
    merged = {name: value for name, value in {**fields, **changes}.items() if value not in (None, "", [], ())}
    return "?" + urlencode(merged, doseq=True) if merged else ""


def joined(*parts: object) -> Markup:
    """Parts one after the other, each escaped unless it is markup already."""
    return Markup("").join(escape(part) for part in parts)
