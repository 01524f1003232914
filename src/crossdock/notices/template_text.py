"""Reading a body template: JSON text in which expressions stand inside strings, or bare where a value stands.

`{"count": {{ data.issues | length }}}` is no JSON, so a bare expression is put into a string of its own before the text
is read: a string that is one whole expression gives its native value anyway.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from crossdock.expressions.source import read_code_at
from crossdock.model.expression import TEMPLATE_BYTES, ExpressionError
from crossdock.model.outcome import Json

ROOT = "the template"
"""What the place of the whole is called."""

_NOTABLE = re.compile(r'"(?:[^"\\]|\\.)*"|\{\{|\{%|\{#', re.DOTALL)


class TemplateRefused(ValueError):
    """The template can't be used. The message says where, what is wrong, and what to do.

    `place` is a path inside the template (`data.issues[0].status`), or a line and a column where it is no JSON.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place or ROOT}: {reason}")
        self.place = place or ROOT
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Quoted:
    """The text as JSON, and where each bare expression ends there and in the text that was written."""

    text: str
    ends: tuple[tuple[int, int], ...]

    def written_at(self, position: int) -> int:
        there, here = 0, 0
        for quoted_end, written_end in self.ends:
            if quoted_end <= position:
                there, here = quoted_end, written_end
        return here + position - there


def read_template_text(text: str) -> Json:
    """The JSON tree of a template, its expressions in strings; TemplateRefused when it is none."""
    if len(text.encode(errors="surrogatepass")) > TEMPLATE_BYTES:
        raise TemplateRefused("", f"is longer than {TEMPLATE_BYTES // 1024} KiB; shorten it")
    if not text.strip():
        raise TemplateRefused("", "is empty; write JSON, or leave the template out to send the whole payload")
    quoted = _quote_bare_expressions(text)
    try:
        return json.loads(quoted.text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        place = _line_and_column(text, quoted.written_at(error.pos))
        raise TemplateRefused(place, f"this is not JSON: {_in_words(error.msg)}") from None
    except RecursionError:
        raise TemplateRefused("", "is nested too deep; make it flatter") from None
    except TemplateRefused:
        raise
    except ValueError:  # more digits than Python turns into a number
        raise TemplateRefused("", "has a number with too many digits; write it as text, in quotes") from None


def _quote_bare_expressions(text: str) -> _Quoted:
    pieces: list[str] = []
    ends: list[tuple[int, int]] = []
    position = size = 0
    while match := _NOTABLE.search(text, position):
        if match[0] == "{{":
            code, end = _read_bare(text, match.start())
            pieces += [text[position : match.start()], json.dumps("{{ " + code + " }}")]
        elif match[0].startswith('"'):
            end = match.end()
            pieces.append(text[position:end])
        else:
            raise TemplateRefused(
                _line_and_column(text, match.start()),
                f"{match[0]} can't stand here: blocks and comments belong inside a string, as in"
                ' "{% if data.issues %}broken{% else %}fine{% endif %}"',
            )
        size = sum(map(len, pieces)) if match[0] == "{{" else size
        if match[0] == "{{":
            ends.append((size, end))
        position = end
    return _Quoted("".join([*pieces, text[position:]]), tuple(ends))


def _read_bare(text: str, start: int) -> tuple[str, int]:
    try:
        code, end = read_code_at(text, start)
    except ExpressionError as error:
        raise TemplateRefused(_line_and_column(text, start), str(error)) from None
    return code.source[code.start : code.end].strip(), end


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise TemplateRefused("", f"has an object with the key {twice[:60]!r} twice; keep one of them")
    return read


def _refuse_constant(word: str) -> Json:
    raise TemplateRefused("", f"{word} is no JSON; write a number, null or a text")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise TemplateRefused("", f"the number {digits[:40]} is too large; write it as text, in quotes")
    return number


def _line_and_column(text: str, position: int) -> str:
    before = text[:position]
    return f"line {before.count(chr(10)) + 1}, column {position - before.rfind(chr(10))}"


def _in_words(message: str) -> str:
    """What Python's reader says, with what usually lies behind it."""
    said = message[:1].lower() + message[1:]
    if message.startswith("Expecting property name"):
        return "a key in double quotes is missing here; is there a comma too many in front?"
    if message.startswith("Expecting ',' delimiter"):
        return (
            "a comma or the end is missing here; inside a string, an expression writes texts in single quotes, as in"
            " {{ data.status == 'error' }}"
        )
    if message.startswith("Illegal trailing comma"):
        return "there is a comma too many"
    if message.startswith("Invalid control character"):
        return "a string goes over the end of the line; write \\n where a line ends"
    if message.startswith("Expecting value"):
        return "a value is missing here"
    if message.startswith("Extra data"):
        return "something follows behind the end"
    return said
