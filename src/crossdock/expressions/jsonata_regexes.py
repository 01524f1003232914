"""The regular expressions in a JSONata text, taken out, so that RE2 can answer for them.

The engine's own backtrack: one that is written carelessly takes for ever on a text that somebody has made for it. RE2
takes a time that grows with the text alone (https://github.com/google/re2/wiki/Syntax), and leaves out look-around
and back references, which can't be had that way.

Each literal is replaced by a variable that is as long, so that places in messages stay what they are. Where a `/`
begins one, and where it ends, is as in the reference implementation's tokenizer.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import NamedTuple

MARK = "ṙ"
"""Begins the names of the variables; one that nobody uses by chance."""
MOST = 62
_INDICES = string.digits + string.ascii_letters

_TOKEN = re.compile(
    r"""
      (?P<blank> \s+ | /\*.*?\*/ )
    | (?P<operand> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*` | [)\]}] )
    | (?P<word> [^\s.\[\]{}(),@\#;:?+\-*/%|=<>^&!~"'`]+ )
    | (?P<star> \*\*|[*%] )
    | (?P<operator> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_INFIX_WORDS = frozenset({"and", "or", "in"})
_FLAGS = re.compile("[im]*")
_UNICODE_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9a-fA-F]{4})")


class Regexes(NamedTuple):
    """A JSONata text that asks for its regular expressions by `$ṡ(index, text)`: all matches of one in a text."""

    source: str
    offset: int
    """Where in it the text begins that it was made from."""
    patterns: tuple[str, ...]
    """The regular expressions, as RE2 writes them."""


def take_out(source: str) -> Regexes:
    """Take the regular expressions out of a text that compiles; ValueError when there are too many."""
    parts: list[str] = []
    patterns: list[str] = []
    end = 0
    for literal in _literals(source):
        if len(patterns) == MOST:
            raise ValueError(f"more than {MOST} regular expressions")
        parts += [source[end : literal.start], _variable(len(patterns)).ljust(literal.end - literal.start)]
        patterns.append(literal.pattern)
        end = literal.end
    if not patterns:
        return Regexes(source, 0, ())
    before = _prelude(len(patterns))
    return Regexes("".join([before, *parts, source[end:], ")"]), len(before), tuple(patterns))


def _prelude(count: int) -> str:
    """Binds the variables of so many regular expressions to functions as the language wants them for matching: of a
    text, to its first match, which has a function for the next one. Its bracket is closed behind the text."""
    follow = (
        "$ṅ := function($all, $at) { $at < $count($all) ? "
        "$merge([$all[$at], {'next': function() { $ṅ($all, $at + 1) }}]) };"
    )
    bound = [f"{_variable(index)} := function($text) {{ $ṅ([$ṡ({index}, $text)], 0) }};" for index in range(count)]
    return f"({follow}{''.join(bound)}"


def _variable(index: int) -> str:
    """The variable that stands for a regular expression."""
    return f"${MARK}{_INDICES[index]}"


class _Literal(NamedTuple):
    start: int
    end: int
    pattern: str


def _literals(source: str) -> Iterator[_Literal]:
    """The regular expressions in their order. A `/` behind an operand divides, any other begins one."""
    position, follows_operand = 0, False
    while position < len(source):
        token = _TOKEN.match(source, position)
        assert token is not None  # the last alternative takes anything
        if token["operator"] == "/" and not follows_operand:
            literal = _literal(source, position)
            yield literal
            position, follows_operand = literal.end, True
            continue
        position = token.end()
        match token.lastgroup:
            case "blank":
                continue
            case "operand":
                follows_operand = True
            case "word":
                follows_operand = not (follows_operand and token["word"] in _INFIX_WORDS)
            case "star":  # an operator behind an operand, and a wildcard or a parent elsewhere
                follows_operand = not follows_operand
            case _:
                follows_operand = False


def _literal(source: str, start: int) -> _Literal:
    depth, position = 0, start + 1
    while position < len(source) and not (source[position] == "/" and depth == 0):
        if source[position] == "\\":
            position += 1
        elif source[position] in "([{":
            depth += 1
        elif source[position] in ")]}":
            depth -= 1
        position += 1
    flags = _FLAGS.match(source, position + 1)
    written = "".join(sorted(set(flags[0]))) if flags else ""
    pattern = _UNICODE_ESCAPE.sub(r"\1\\x{\2}", source[start + 1 : position])
    return _Literal(start, flags.end() if flags else position + 1, f"(?{written}){pattern}" if written else pattern)
