"""Reading one SQL statement: where its parameters stand, and what kind of statement it is.

The text is only taken apart, never judged for sense: that is the database's part. What has to be known before is where
strings, quoted names and comments end (a `:name` in them is no parameter, a `;` no end), and the three families of
databases differ in that. Whatever is not surely a read counts as a write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

MAX_STATEMENT_BYTES = 64 * 1024


class Dialect(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    """MariaDB too."""


class StatementRefused(ValueError):
    """The text is not one statement that a step can carry out; the message says why."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`:name` in a statement."""

    name: str


@dataclass(frozen=True, slots=True)
class ListParameter:
    """`IN (:name)`: a list given for it becomes the elements of the `IN`."""

    name: str
    is_negated: bool
    """It is `NOT IN (:name)`."""


Part: TypeAlias = str | Parameter | ListParameter


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement taken apart."""

    parts: tuple[Part, ...]
    word: str
    """What it begins with, in capitals: `INSERT`."""
    is_read: bool
    """By its words it changes nothing. A function that it calls may: the database is told to refuse that."""
    gives_rows: bool
    """By its words its result is rows, and not only a count."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(part.name for part in self.parts if not isinstance(part, str))


_READS = frozenset({"SELECT", "VALUES", "TABLE", "WITH", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "PRAGMA"})
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_VERBS = frozenset({"SELECT", "VALUES", "TABLE", *_CHANGES})
_TRANSACTION = "each sql step is a transaction of its own, which begins and ends by itself"
_SESSION = "the next step may get another connection, and somebody else this one"
_FILES = "steps send and get values, not files and streams"
_REFUSED = {
    **dict.fromkeys(
        ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "XA"), _TRANSACTION
    ),
    **dict.fromkeys(("SET", "RESET", "USE", "DISCARD", "LISTEN", "UNLISTEN", "PREPARE", "EXECUTE"), _SESSION),
    **dict.fromkeys(("DEALLOCATE", "DECLARE", "FETCH", "MOVE", "CLOSE", "HANDLER", "LOCK", "UNLOCK"), _SESSION),
    **dict.fromkeys(("COPY", "LOAD", "ATTACH", "DETACH"), _FILES),
    "VACUUM": "it can't be part of a transaction",
}

_TEMPORARY = frozenset({"TEMP", "TEMPORARY"})

_WORD = r"(?P<word>[^\W\d][\w$]*)"
_PARAMETER = r"(?<![\w:\])\"]):(?P<parameter>[A-Za-z_]\w*)"
_REST = r"(?P<space>\s+)|(?P<number>\d[\w.]*)|(?P<colons>::+)|(?P<other>.)"
_LINE_COMMENT = r"(?P<comment>--[^\n]*)"
_PLAIN_STRING = r"(?P<string>'(?:[^']|'')*')"
_NAME = r'(?P<name>"(?:[^"]|"")*")'

_TOKENS = {
    Dialect.SQLITE: (
        rf"{_LINE_COMMENT}|(?P<block>/\*.*?(?:\*/|\Z))|{_PLAIN_STRING}|{_NAME}|(?P<tick>`(?:[^`]|``)*`)"
        rf"|(?P<bracket>\[[^\]]*\])|{_WORD}|{_PARAMETER}|{_REST}"
    ),
    Dialect.POSTGRESQL: (
        rf"{_LINE_COMMENT}|(?P<nested>/\*)|(?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')|{_PLAIN_STRING}|{_NAME}"
        rf"|(?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)|(?P<place>\$\d+)|{_WORD}|{_PARAMETER}|{_REST}"
    ),
    Dialect.MYSQL: (
        r"(?P<comment>(?:#|--(?=\s|\Z))[^\n]*)|(?P<live>/\*M?!)|(?P<block>/\*.*?\*/)"
        r"|(?P<string>'(?:[^'\\]|''|\\.)*')|(?P<name>\"(?:[^\"\\]|\"\"|\\.)*\")|(?P<tick>`(?:[^`]|``)*`)"
        rf"|{_WORD}|{_PARAMETER}|{_REST}"
    ),
}
_PATTERNS = {dialect: re.compile(pattern, re.DOTALL) for dialect, pattern in _TOKENS.items()}
_SILENT = ("space", "comment", "block")
_OPENINGS = {"'": "a quote", '"': "a double quote", "`": "a backtick", "[": "a bracket"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_text(self, text: str) -> bool:
        return self.text.upper() == text


@lru_cache(maxsize=256)
def read_statement(text: str, dialect: Dialect) -> Statement:
    """Take a statement apart; StatementRefused when it is none, or several, or one that steps can't carry out."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise StatementRefused("it contains half of a surrogate pair, which is no character") from None
    if size > MAX_STATEMENT_BYTES:
        raise StatementRefused(f"it is longer than {MAX_STATEMENT_BYTES // 1024} KiB; pass large values as parameters")
    if "\0" in text:
        raise StatementRefused("it contains a zero byte, which no database takes")
    tokens = _without_end(list(_tokens(text, dialect)))
    words = [token.text.upper() for token in tokens if token.kind == "word"]
    if not words:
        raise StatementRefused("it is empty; write a statement such as SELECT name FROM customers WHERE id = :id")
    word, outer = words[0], list(_outer_words(tokens))
    if word in _REFUSED:
        raise StatementRefused(f"{word} can't be a step: {_REFUSED[word]}")
    if word == "CREATE" and not _TEMPORARY.isdisjoint(words[1:5]):
        raise StatementRefused(f"what is temporary can't be made by a step: {_SESSION}")
    verb = next((each for each in outer if each in _VERBS), word) if word == "WITH" else word
    return Statement(
        parts=tuple(_joined(_parts(tokens))),
        word=word,
        is_read=word in _READS and _CHANGES.isdisjoint(words),
        gives_rows=(verb in _READS and "INTO" not in outer) or "RETURNING" in outer,
    )


def _tokens(text: str, dialect: Dialect) -> Iterator[_Token]:
    pattern = _PATTERNS[dialect]
    position = 0
    while position < len(text):
        found = pattern.match(text, position)
        assert found is not None  # the last alternative takes any character
        kind, end = found.lastgroup or "other", found.end()
        if kind == "nested":
            kind, end = "comment", _end_of_nested(text, position)
        token = _Token(kind, text[position:end])
        _check_token(token, text.startswith("/*", position), dialect)
        yield token
        position = end


def _check_token(token: _Token, opens_comment: bool, dialect: Dialect) -> None:
    if token.kind == "live":
        raise StatementRefused("a comment that begins with /*! is carried out; write it as plain SQL")
    if token.kind == "place":
        raise StatementRefused(f"parameters are written :name, not {token.text}")
    if token.kind != "other":
        return
    if opens_comment:
        raise StatementRefused("a comment is opened and never closed")
    known = {"'", '"'} if dialect is Dialect.POSTGRESQL else {"'", '"', "`"}
    if token.text in known or (token.text == "[" and dialect is Dialect.SQLITE):
        raise StatementRefused(f"{_OPENINGS[token.text]} is opened and never closed")


def _end_of_nested(text: str, start: int) -> int:
    """PostgreSQL's comments may contain comments."""
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    raise StatementRefused("a comment is opened and never closed")


def _without_end(tokens: list[_Token]) -> list[_Token]:
    """The tokens up to the semicolon that ends the statement; nothing but comments may follow it."""
    ends = [index for index, token in enumerate(tokens) if token.text == ";" and token.kind == "other"]
    if not ends:
        return tokens
    if any(token.kind not in _SILENT and token.text != ";" for token in tokens[ends[0] :]):
        raise StatementRefused("it is more than one statement; write a step for each")
    return tokens[: ends[0]]


def _outer_words(tokens: Sequence[_Token]) -> Iterator[str]:
    """The words outside of all brackets, in capitals."""
    depth = 0
    for token in tokens:
        if token.kind == "other":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        elif token.kind == "word" and depth <= 0:
            yield token.text.upper()


def _parts(tokens: Sequence[_Token]) -> Iterator[Part]:
    loud = [index for index, token in enumerate(tokens) if token.kind not in _SILENT]
    position = 0
    for place, start in enumerate(loud):
        if start < position:
            continue
        found = _list_at([tokens[index] for index in loud[place : place + 5]])
        if found is not None:
            parameter, length = found
            yield from (token.text for token in tokens[position:start])
            yield parameter
            position = loud[place + length - 1] + 1
        elif tokens[start].kind == "parameter":
            yield from (token.text for token in tokens[position:start])
            yield Parameter(tokens[start].text[1:])
            position = start + 1
    yield from (token.text for token in tokens[position:])


def _list_at(tokens: Sequence[_Token]) -> tuple[ListParameter, int] | None:
    """`IN (:name)` or `NOT IN (:name)` at the beginning, and how many tokens it takes."""
    is_negated = bool(tokens) and tokens[0].is_text("NOT")
    rest = tokens[1:] if is_negated else tokens[:4]
    if len(rest) < 4 or not rest[0].is_text("IN") or rest[1].text != "(" or rest[3].text != ")":
        return None
    if rest[2].kind != "parameter":
        return None
    return ListParameter(rest[2].text[1:], is_negated), 5 if is_negated else 4


def _joined(parts: Iterator[Part]) -> Iterator[Part]:
    """The parts, with the texts between parameters put together."""
    text: list[str] = []
    for part in parts:
        if isinstance(part, str):
            text.append(part)
            continue
        if text:
            yield "".join(text)
            text = []
        yield part
    if text:
        yield "".join(text)
