"""What a step does, in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from crossdock.model.outcome import Json

_LONGEST = 140


def line_of(kind: str, settings: Json) -> str:
    """A line for people, whatever a draft has written there."""
    tell = _TELLING.get(kind)
    if tell is None:
        return "This kind of step is not known here; edit it as YAML." if kind else "This step has no kind yet."
    text = tell(settings) if isinstance(settings, dict) or kind == "transform" else ""
    text = text.strip() or "Its settings are not written yet."
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _transform(settings: Json) -> str:
    if isinstance(settings, dict) and set(settings) == {"jsonata"}:
        return f"JSONata: {_flat(settings['jsonata'])}"
    if isinstance(settings, dict):
        return "Makes " + (", ".join(map(str, settings)) or "an empty object")
    return f"Makes {_flat(settings)}"


def _http(settings: Json) -> str:
    sends = any(name in settings for name in ("json", "form", "text", "body"))
    method = _flat(settings.get("method") or ("POST" if sends else "GET"))
    through = f" through {_flat(settings['connection'])}" if settings.get("connection") else ""
    return f"{method} {_flat(settings.get('url', ''))}{through}"


def _sql(settings: Json) -> str:
    on = f"On {_flat(settings['connection'])}: " if settings.get("connection") else ""
    return on + _flat(settings.get("statement", ""))


def _python(settings: Json) -> str:
    arguments = settings.get("arguments")
    names = ", ".join(map(str, arguments)) if isinstance(arguments, dict) else ""
    apart = ", in a process of its own" if settings.get("isolation") == "process" else ""
    return f"{_flat(settings.get('function', ''))}({names}){apart}"


def _respond(settings: Json) -> str:
    content = next((name for name in ("json", "text", "body") if name in settings), None)
    sends = f" with {_flat(settings[content])}" if content else " without content"
    return f"Answers {_flat(settings.get('status', 200))}{sends}"


def _switch(settings: Json) -> str:
    cases = settings.get("cases")
    count = len(cases) if isinstance(cases, list) else 0
    otherwise = ", or the default" if settings.get("default") else ""
    return f"{_counted(count, 'case')}{otherwise}"


def _parallel(settings: Json) -> str:
    named = settings.get("branches")
    return f"Side by side: {', '.join(map(str, named))}" if isinstance(named, dict) else "No branches yet"


def _for_each(settings: Json) -> str:
    at_once = settings.get("concurrency", 1)
    pace = f", {_flat(at_once)} at once" if at_once != 1 else ""
    return f"Each {_flat(settings.get('as', 'item'))} of {_flat(settings.get('over', ''))}{pace}"


def _delay(settings: Json) -> str:
    if "until" in settings:
        return f"Waits until {_flat(settings['until'])}"
    return f"Waits for {_flat(settings.get('for', ''))}"


def _emit(settings: Json) -> str:
    return f"A new event for {_flat(settings.get('integration') or 'an integration that is not named yet')}"


def _assert(settings: Json) -> str:
    that = settings.get("that")
    conditions = that if isinstance(that, list) else [that]
    return "Goes on only if " + " and ".join(_bare(each) for each in conditions)


def _fail(settings: Json) -> str:
    return f"Fails: {_flat(settings.get('message', ''))}"


_TELLING: Mapping[str, Callable[[Json], str]] = {
    "transform": _transform,
    "http": _http,
    "sql": _sql,
    "python": _python,
    "respond": _respond,
    "switch": _switch,
    "parallel": _parallel,
    "for_each": _for_each,
    "delay": _delay,
    "emit": _emit,
    "assert": _assert,
    "fail": _fail,
}


def condition_line(condition: Json) -> str:
    """A condition without its braces."""
    return _bare(condition)[:_LONGEST]


def _flat(value: Json) -> str:
    """A value on one line; of a large one the beginning is looked at only."""
    text = value[: _LONGEST * 4] if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text[: _LONGEST * 4].split())


def _bare(condition: Json) -> str:
    text = _flat(condition)
    if text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1:
        return text[2:-2].strip()
    return text


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
