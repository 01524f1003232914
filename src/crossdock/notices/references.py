"""What the expressions of a template refer to: checked against the payload's schema and the secrets that there are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from crossdock.expressions.paths import Path, locals_of, path_of, paths_in, written
from crossdock.expressions.source import Code
from crossdock.model.outcome import Json
from crossdock.notices.payload import PAYLOAD_SCHEMA
from crossdock.notices.template_text import TemplateRefused

NAMES = (*PAYLOAD_SCHEMA["properties"], "secrets")
"""What an expression of a template may begin with."""

_Schema: TypeAlias = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Crossing:
    """A reference, standing at `place`, that goes through a list of the payload without saying which item."""

    place: str
    list_name: str
    written: str

    @property
    def joined(self) -> str:
        """An expression that makes one text of what it means."""
        attribute = self.written.removeprefix(f"{self.list_name}.")
        return f"{{{{ {self.list_name} | map(attribute='{attribute}') | join(', ') }}}}"


def crossings_in(codes: Sequence[Code], place: str, secret_names: Collection[str]) -> dict[Path, Crossing]:
    """The lists that the expressions of one text go through, by their paths; TemplateRefused for what is not there."""
    for name in locals_of(codes) & frozenset(NAMES):
        raise TemplateRefused(place, f"{name!r} is a name of the payload; give the loop's elements another one")
    if any(token.kind == "name" and token.text == "range" for code in codes for token in code.tokens):
        # a long list costs much and says nothing: what is told comes from the payload
        raise TemplateRefused(place, "range(...) is not there in body templates; go through a list of the payload")
    crossings: dict[Path, Crossing] = {}
    elements: dict[str, _Schema | None] = {}
    for code in codes:
        elements |= _elements_of_loop(code, place, elements)
        for path in paths_in(code):
            if path[0] == "secrets":
                _check_secret(code, path, place, secret_names)
                continue
            lists, _ = _walk(path, place, elements)
            if lists and path[0] in elements:
                raise TemplateRefused(
                    place, f"{written(lists[0])} is a list; go through it with a {{% for %}} of its own"
                )
            crossings |= {found: Crossing(place, written(found), written(path)) for found in lists}
    return crossings


def _walk(path: Path, place: str, elements: Mapping[str, _Schema | None]) -> tuple[list[Path], _Schema | None]:
    """The lists that the path goes through, and what stands at its end: None where nobody can tell beforehand.

    `elements` are the names that loops give, with what stands behind them.
    """
    is_element = path[0] in elements
    schema = elements[str(path[0])] if is_element else PAYLOAD_SCHEMA
    if schema is None:
        return [], None
    lists: list[Path] = []
    for position in range(int(is_element), len(path)):
        key = path[position]
        if schema["type"] == "array":
            schema = schema["items"]
            if isinstance(key, int):
                continue
            lists.append(path[:position])
        fields: Mapping[str, _Schema] = schema.get("properties", {})
        if key not in fields:
            raise TemplateRefused(place, _unknown(path, position, fields))
        schema = fields[str(key)]
    return lists, schema


def _unknown(path: Path, position: int, fields: Mapping[str, _Schema]) -> str:
    known = fields if position else NAMES
    close = get_close_matches(str(path[position]), known, n=1)
    missing = f"there is no {written(path[: position + 1])}"
    if close:
        return f"{missing}; did you mean {written((*path[:position], close[0]))}?"
    if not known:
        return f"{missing}: {written(path[:position])} is a plain value"
    return f"{missing}; {written(path[:position]) if position else 'a template'} has {', '.join(known)}"


def _elements_of_loop(code: Code, place: str, known: Mapping[str, _Schema | None]) -> dict[str, _Schema | None]:
    """The names that a `for` gives to its elements, with what those are; None where it goes through something made."""
    if code.opening != "{%" or code.tokens[0].text != "for":
        return {}
    names = locals_of((code,))
    paths = [path for path in paths_in(code) if path[0] not in names]
    is_plain = len(names) == 1 and len(paths) == 1 and len(code.tokens) == 2 + 2 * len(paths[0])
    is_plain = is_plain and paths[0][0] != "secrets"
    _, schema = _walk(paths[0], place, known) if is_plain else ([], None)
    element = schema["items"] if schema is not None and schema["type"] == "array" else None
    return dict.fromkeys(names, element)


def _check_secret(code: Code, path: Path, place: str, secret_names: Collection[str]) -> None:
    """A secret goes out as it is and nothing is made of it, so that it can be masked wherever it turns up again."""
    if len(path) != 2 or path_of(code) != path:
        raise TemplateRefused(
            place, "a secret stands alone in its braces, with its name, as in {{ secrets.routing_key }}"
        )
    if path[1] in secret_names:
        return
    close = get_close_matches(str(path[1]), secret_names, n=1)
    if close:
        hint = f"did you mean secrets.{close[0]}?"
    else:
        hint = f"there are {', '.join(sorted(secret_names))}" if secret_names else "add it to the webhook's secrets"
    raise TemplateRefused(place, f"there is no secret {str(path[1])[:60]!r}; {hint}")
