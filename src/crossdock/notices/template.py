"""Body templates: JSON with expressions over the payload, compiled and checked when saved, rendered when sent.

What comes out is JSON whatever the values hold, because the tree is evaluated and then encoded, never pasted together.
A list with one element whose expressions go through a list of the payload (`data.issues.status`) becomes a list with
that element for each item: the innermost such list around an expression goes through the deepest list on its way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from crossdock.expressions import Uncompilable, compile_value
from crossdock.expressions.patience import check_time, within
from crossdock.expressions.source import has_code, read_text
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Json
from crossdock.notices.payload import mock_digest, mock_payload, mock_recovery
from crossdock.notices.references import NAMES, Crossing, crossings_in
from crossdock.notices.template_text import ROOT, TemplateRefused, read_template_text

__all__ = ["OUTPUT_BYTES", "Template", "TemplateFailed", "TemplateRefused", "compile_template", "load_template"]

OUTPUT_BYTES = 1024 * 1024
RENDER_SECONDS = 2.0
"""How long one rendering may take in all."""
MAX_DEPTH = 64

_encode = msgspec.json.Encoder().encode


class TemplateFailed(Exception):
    """Rendering did not come to an end as it should; the message says where and why."""


class Template:
    """A compiled template. `text` is what people wrote."""

    __slots__ = ("_render", "text")

    def __init__(self, text: str, render: _Render) -> None:
        self.text = text
        self._render = render

    def render(self, payload: Mapping[str, Json], secrets: Mapping[str, str]) -> bytes:
        """The body for a payload: JSON text in UTF-8. TemplateFailed when it is not to be had."""
        names = _encodable({**payload, "secrets": dict(secrets)})
        try:
            with within(RENDER_SECONDS):
                body = _encode(self._render(names, _Spent()))
        except ExpressionError as error:
            raise TemplateFailed(str(error)) from None
        except (UnicodeEncodeError, OverflowError, RecursionError):
            raise TemplateFailed(f"{ROOT}: it gives what JSON can't hold") from None
        if len(body) > OUTPUT_BYTES:
            raise TemplateFailed(_TOO_LARGE)
        return body


def compile_template(text: str, secret_names: Collection[str] = ()) -> Template:
    """Compile and try a template that is to be saved: TemplateRefused says where it fails and what to do.

    It is tried with each kind of payload, because one that fails when it is sent tells nobody anything.
    """
    template = load_template(text, secret_names)
    secrets = dict.fromkeys(secret_names, "a-secret-of-thirty-two-letters--")
    for kind, payload in _TRIALS:
        try:
            template.render(payload, secrets)
        except TemplateFailed as failure:
            place, _, reason = str(failure).partition(": ")
            raise TemplateRefused(place, f"{reason} ({kind})") from None
    return template


def load_template(text: str, secret_names: Collection[str] = ()) -> Template:
    """Compile a template that was tried when it was saved; TemplateRefused all the same when it can't be compiled."""
    return _load(text, frozenset(secret_names))


@functools.lru_cache(maxsize=64)  # many webhooks have one of a few templates
def _load(text: str, secret_names: frozenset[str]) -> Template:
    part = _Compiler(secret_names).tree(read_template_text(text), "", 0)
    for crossing in part.crossings.values():
        raise TemplateRefused(
            crossing.place,
            f"{crossing.list_name} is a list. Put what uses {crossing.written} into a list, as its only element, to get"
            f" one for each item; or make one text of all: {crossing.joined}",
        )
    return Template(text, part.render)


_TRIALS = (
    ("tried with an example", mock_payload(0)),
    ("tried with the example of a recovery, which has no issues: write ... if data.issues else ''", mock_recovery(0)),
    ("tried with the example of a digest", mock_digest(0)),
)
_TOO_LARGE = f"{ROOT}: it gives more than {OUTPUT_BYTES // 1024**2} MiB; leave something out"


class _Spent:
    """How much a rendering has given so far."""

    __slots__ = ("_characters",)

    def __init__(self) -> None:
        self._characters = 0

    def add(self, characters: int) -> None:
        check_time(ROOT)
        self._characters += characters
        if self._characters > OUTPUT_BYTES:
            raise ExpressionError(_TOO_LARGE)


_Render: TypeAlias = Callable[[Mapping[str, Json], _Spent], Json]


@dataclass(frozen=True, slots=True)
class _Part:
    """A compiled part of the tree, and the lists that its expressions go through, as far as none around it does."""

    render: _Render
    crossings: Mapping[tuple[str | int, ...], Crossing] = field(default_factory=dict)


class _Compiler:
    def __init__(self, secret_names: frozenset[str]) -> None:
        self._secret_names = secret_names

    def tree(self, tree: Json, place: str, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise TemplateRefused(place, f"this is nested more than {MAX_DEPTH} deep; make it flatter")
        if isinstance(tree, str):
            return self._text(tree, place)
        if isinstance(tree, dict):
            return self._object(tree, place, depth)
        if isinstance(tree, list):
            return self._list(tree, place, depth)
        return _constant(tree)

    def _text(self, text: str, place: str) -> _Part:
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise TemplateRefused(place, "this has half a surrogate pair, which is no character; write the whole of it")
        if not has_code(text):
            return _constant(text)
        try:
            codes = tuple(read_text(text).codes)
            crossings = crossings_in(codes, place, self._secret_names)
            evaluate = compile_value(text, place, names=NAMES, place=place or ROOT).evaluate
        except Uncompilable as error:
            raise TemplateRefused(error.field, str(error)) from None
        except ExpressionError as error:
            raise TemplateRefused(place, str(error)) from None

        def render(names: Mapping[str, Json], spent: _Spent) -> Json:
            value = evaluate(names)
            spent.add(len(value) + 2 if isinstance(value, str) else len(_encode(value)))
            return value

        return _Part(render, crossings)

    def _object(self, tree: dict[str, Json], place: str, depth: int) -> _Part:
        parts: list[tuple[str, _Render]] = []
        crossings: dict[tuple[str | int, ...], Crossing] = {}
        for key, value in tree.items():
            if has_code(key):
                raise TemplateRefused(place, f"the key {key[:60]!r} is an expression; keys are fixed text")
            part = self.tree(value, f"{place}.{key}" if place else key, depth + 1)
            parts.append((key, part.render))
            crossings |= part.crossings
        size = sum(len(key) + 4 for key in tree)

        def render(names: Mapping[str, Json], spent: _Spent) -> Json:
            spent.add(size)
            return {key: value(names, spent) for key, value in parts}

        return _Part(render, crossings)

    def _list(self, tree: list[Json], place: str, depth: int) -> _Part:
        parts = [self.tree(element, f"{place}[{index}]", depth + 1) for index, element in enumerate(tree)]
        crossings = {path: crossing for part in parts for path, crossing in part.crossings.items()}
        if len(parts) == 1 and crossings:
            return _for_each(parts[0], place)
        return _Part(lambda names, spent: [part.render(names, spent) for part in parts], crossings)


def _constant(value: Json) -> _Part:
    size = len(value) + 2 if isinstance(value, str) else 4

    def render(_: Mapping[str, Json], spent: _Spent) -> Json:
        spent.add(size)
        return value

    return _Part(render)


def _for_each(element: _Part, place: str) -> _Part:
    """The list of the element for each item of the deepest list that its expressions go through."""
    through = max(element.crossings, key=len)
    for path, crossing in element.crossings.items():
        if through[: len(path)] != path:
            other = element.crossings[through]
            raise TemplateRefused(
                place,
                f"this element goes through two lists, {crossing.list_name} and {other.list_name}; give each a list"
                " of its own",
            )

    def render(names: Mapping[str, Json], spent: _Spent) -> Json:
        return [element.render(laid, spent) for laid in _one_by_one(names, through)]

    return _Part(render, {path: crossing for path, crossing in element.crossings.items() if path != through})


def _one_by_one(names: Mapping[str, Json], path: tuple[str | int, ...]) -> Iterator[Mapping[str, Json]]:
    """The names once for each item of the list at the path, with the item in the place of the list."""
    items: Json = names
    for key in path:
        items = items[key]
    for item in items:
        yield _with(names, path, item)


def _with(tree: Json, path: tuple[str | int, ...], value: Json) -> Json:
    """The tree with another value at the path; the tree itself stays as it is."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(tree, list):
        return [_with(part, rest, value) if index == key else part for index, part in enumerate(tree)]
    return {**tree, key: _with(tree[key], rest, value)}


def _encodable(tree: dict[str, Json]) -> dict[str, Json]:
    """The tree without halves of surrogate pairs, which neither the engine nor the receiver can read."""
    try:
        _encode(tree)
    except UnicodeEncodeError:
        cleaned = _cleaned(tree)
        assert isinstance(cleaned, dict)
        return cleaned
    return tree


def _cleaned(tree: Json) -> Json:
    if isinstance(tree, str):
        return tree.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(tree, dict):
        return {key: _cleaned(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_cleaned(value) for value in tree]
    return tree
