"""A step as the fields of a form, and back. Pure.

What a form can't show as it is written (`written_fields` gives None) is edited as YAML instead, so nothing is ever
lost by opening a form and saving it. Errors bear the place in the step: `http.query`, `retry.attempts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from crossdock.manage.outline import kind_of
from crossdock.manage.yaml_text import yaml_text
from crossdock.model.errors import FieldError, Invalid
from crossdock.model.outcome import Json
from crossdock.ui.forms import Form
from crossdock.ui.screens.workflow.kinds import KINDS, Kind, Setting
from crossdock.ui.yaml_reading import parse_yaml

Fields: TypeAlias = dict[str, Any]
"""Texts by the names of fields; lists of rows for `cases` and `branches`."""
_MISSING = object()
_LARGEST_SHOWN = 64 * 1024
_RETRY = ("attempts", "delay", "factor", "max_delay")
_WHOLE_EXPRESSION = re.compile(r"\{\{((?!\}\}).)*\}\}", re.DOTALL)


# --- from a step to fields -------------------------------------------------------------------------------------------


def written_fields(step: Json) -> Fields | None:
    """The fields of a step's form; None when it says something that a form would not give back as it is."""
    kind = KINDS.get(kind_of(step)) if isinstance(step, dict) else None
    if kind is None or len(json.dumps(step[kind.name])) > _LARGEST_SHOWN:
        return None
    fields = _fields_of(kind, step)
    try:
        same = step_from(_as_form(fields), step, kind)
    except Invalid:
        return None
    return fields if json.dumps(same, sort_keys=True) == json.dumps(step, sort_keys=True) else None


def _as_form(fields: Fields) -> Form:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, list):
            pairs += [(f"{name}.{column}", text) for row in value for column, text in row.items()]
        else:
            pairs.append((name, value))
    return Form(pairs)


def _fields_of(kind: Kind, step: dict[str, Json]) -> Fields:
    settings = step[kind.name]
    fields: Fields = {"id": _line(step.get("id", "")), **_general_fields(step)}
    for setting in kind.settings:
        value = settings.get(setting.key, _MISSING) if isinstance(settings, dict) else _MISSING
        fields[f"s.{setting.key}"] = "" if value is _MISSING else _write(setting, value)
    if kind.contents and isinstance(settings, dict):
        named = next((key for key, _ in kind.contents if key in settings), kind.contents[0][0])
        fields["content"] = named
        fields["content_value"] = _written_content(named, settings[named]) if named in settings else ""
    return fields | _own_fields(kind, settings)


def _general_fields(step: dict[str, Json]) -> Fields:
    fields = {name: _scalar(step[name]) if name in step else "" for name in ("when", "timeout", "on_error")}
    notes = step.get("notes", "")
    fields["notes"] = notes if isinstance(notes, str) else _scalar(notes)
    retry = step.get("retry", _MISSING)
    fields["retry"] = "" if retry is _MISSING else "on"
    for name in _RETRY:
        fields[f"retry.{name}"] = _scalar(retry[name]) if isinstance(retry, dict) and name in retry else ""
    return fields


def _own_fields(kind: Kind, settings: Json) -> Fields:
    """What only this kind has."""
    match kind.name:
        case "transform":
            is_jsonata = isinstance(settings, dict) and set(settings) == {"jsonata"}
            value = settings["jsonata"] if is_jsonata else settings
            text = value if is_jsonata and isinstance(value, str) else write_tree(value)
            return {"language": "jsonata" if is_jsonata else "", "tree": text}
        case "delay":
            how = "until" if isinstance(settings, dict) and "until" in settings else "for"
            return {"how": how, "time": _scalar(settings.get(how, "")) if isinstance(settings, dict) else ""}
        case "switch":
            cases = settings.get("cases") if isinstance(settings, dict) else None
            rows = [
                {"was": str(n), "when": _scalar(case.get("when", ""))}
                for n, case in enumerate(cases if isinstance(cases, list) else [])
                if isinstance(case, dict)
            ]
            return {"case": rows, "default": "on" if isinstance(settings, dict) and "default" in settings else ""}
        case "parallel":
            named = settings.get("branches") if isinstance(settings, dict) else None
            return {"branch": [{"was": name, "name": name} for name in named] if isinstance(named, dict) else []}
        case _:
            return {}


def _write(setting: Setting, value: Json) -> str:
    match setting.shape:
        case "tree":
            return write_tree(value)
        case "scalar":
            return _scalar(value)
        case "lines":
            lines = value if isinstance(value, list) else [value]
            return "\n".join(_line(line) for line in lines)
        case "text":
            return value if isinstance(value, str) else _scalar(value)
        case _:
            return _line(value)


def _written_content(named: str, value: Json) -> str:
    return value if named == "text" and isinstance(value, str) else write_tree(value)


def write_tree(value: Json) -> str:
    """A tree as people write it: a text that is one expression goes without quotes."""
    if isinstance(value, str) and _WHOLE_EXPRESSION.fullmatch(value):
        return value
    return yaml_text(value).removesuffix("...\n").strip("\n")


def _line(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scalar(value: Json) -> str:
    """A number, true, false, or a text, which is quoted where it would be taken for another one."""
    if isinstance(value, str) and read_scalar(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def read_scalar(text: str) -> Json:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


# --- from fields to a step -------------------------------------------------------------------------------------------


def step_from(form: Form, old: Json, kind: Kind) -> Json:
    """The step that the form describes. What it has no field for stays as it was in `old`; Invalid names the fields."""
    problems: list[FieldError] = []
    settings = _settings(form, old.get(kind.name), kind, problems)
    step = {name: value for name, value in old.items() if name not in ("id", *_GENERAL)}
    step[kind.name] = settings
    step = {"id": form.text("id"), **step, **_general(form)}
    if problems:
        raise Invalid("Some fields need another look.", tuple(problems))
    return {name: step[name] for name in _ordered(step, old)}


_GENERAL = ("when", "retry", "timeout", "on_error", "notes")


def _ordered(step: dict[str, Json], old: dict[str, Json]) -> list[str]:
    kept = [name for name in old if name in step]
    return kept + [name for name in step if name not in kept]


def _general(form: Form) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name in ("when", "timeout", "on_error"):
        if form.text(name):
            found[name] = read_scalar(form.text(name)) if name == "when" else form.text(name)
    if form.is_on("retry"):
        given = {name: form.text(f"retry.{name}") for name in _RETRY}
        found["retry"] = {name: read_scalar(text) for name, text in given.items() if text}
    if form.raw("notes").strip():
        found["notes"] = form.raw("notes")
    return found


def _settings(form: Form, old: Json, kind: Kind, problems: list[FieldError]) -> Json:
    if kind.name == "transform":
        return _try(lambda: _transform(form), problems)
    settings: dict[str, Json] = dict(old) if isinstance(old, dict) else {}
    for setting in kind.settings:
        value = _try(partial(_read, form.raw(f"s.{setting.key}"), setting, f"{kind.name}.{setting.key}"), problems)
        if isinstance(settings.get(setting.key), str) and isinstance(value, list) and len(value) == 1:
            value = value[0]  # one condition may stand without a list around it
        if value is _MISSING:
            settings.pop(setting.key, None)
        else:
            settings[setting.key] = value
    if kind.contents:
        for key, _ in kind.contents:
            settings.pop(key, None)
        chosen = form.text("content")
        if chosen in dict(kind.contents) and chosen:
            settings[chosen] = _try(lambda: _content(form, chosen, kind), problems)
    match kind.name:
        case "delay":
            settings.pop("for", None)
            settings.pop("until", None)
            settings["until" if form.text("how") == "until" else "for"] = form.text("time")
        case "switch":
            settings.update(_cases(form, settings))
            if form.is_on("default"):
                settings.setdefault("default", [])
            else:
                settings.pop("default", None)
        case "parallel":
            settings["branches"] = _try(lambda: _branches(form, settings.get("branches")), problems)
    return settings


def _try(read: Callable[[], Any], problems: list[FieldError]) -> Any:
    try:
        return read()
    except Invalid as error:
        problems += error.errors
        return None


def _read(text: str, setting: Setting, path: str) -> Any:
    """The field's value, or `_MISSING` where it is empty."""
    if not text.strip():
        return _MISSING
    match setting.shape:
        case "tree":
            return read_tree(text, path)
        case "scalar":
            return read_scalar(text.strip())
        case "lines":
            return [line.strip() for line in text.split("\n") if line.strip()]
        case "text":
            return text
        case _:
            return text.strip()


def read_tree(text: str, path: str) -> Json:
    """YAML; a text that is one whole expression needs no quotes."""
    if _WHOLE_EXPRESSION.fullmatch(text.strip()):
        return text.strip()
    return parse_yaml(text, path)


def _content(form: Form, chosen: str, kind: Kind) -> Json:
    text = form.raw("content_value")
    return text if chosen == "text" else read_tree(text, f"{kind.name}.{chosen}")


def _transform(form: Form) -> Json:
    text = form.raw("tree")
    return {"jsonata": text} if form.text("language") == "jsonata" else read_tree(text, "transform")


def _cases(form: Form, settings: dict[str, Json]) -> dict[str, Json]:
    """The cases in the order of the rows, each with the steps that it had; one without a condition is taken away."""
    old = settings.get("cases")
    were = [case for case in old if isinstance(case, dict)] if isinstance(old, list) else []
    made: list[Json] = []
    for row in form.rows("case.was", "case.when"):
        if not row["when"].strip():
            continue
        number = row["was"]
        is_place = number.isascii() and number.isdigit() and len(number) < 6
        case = were[int(number)] if is_place and int(number) < len(were) else {"steps": []}
        made.append({**case, "when": read_scalar(row["when"].strip())})
    return {"cases": made}


def _branches(form: Form, old: Json) -> Json:
    """The branches in the order of the rows, each with the steps that it had; one without a name is taken away."""
    were = old if isinstance(old, dict) else {}
    made: dict[str, Json] = {}
    for row in form.rows("branch.was", "branch.name"):
        name = row["name"].strip()
        if name in made:
            raise Invalid("", (FieldError("parallel.branches", f"two branches are named {name[:60]!r}"),))
        if not name:
            continue
        made[name] = were.get(row["was"], [])
    return made
