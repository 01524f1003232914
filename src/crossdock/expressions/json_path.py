"""JSONPath (RFC 9535) over documents that other systems send: compiled when it is saved, bounded when it is used.

Refused is what can take far longer than the document is long: regular expressions (`match`, `search`), more than one
`..`, and filters that begin again at the root for each element.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment, JSONPathError

from crossdock.model.outcome import Json

MAX_LENGTH = 1_024
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)


class _Environment(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        for name in ("match", "search"):
            del self.function_extensions[name]


_ENVIRONMENT = _Environment(strict=True)


class BadPath(ValueError):
    """The text is no JSONPath, or one that may take too long; the message says why."""


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path."""

    text: str
    compiled: JSONPath

    def find(self, document: Json) -> list[Json]:
        """All values at the path, in the order of the document."""
        if isinstance(document, str):  # the library would read it as JSON text
            return [] if self.compiled.segments else [document]
        try:
            return list(self.compiled.findall(document))
        except (JSONPathError, RecursionError):  # nested deeper than the library goes
            return []


def compile_path(text: str) -> Path:
    """Compile the text; BadPath when it can't be used."""
    if len(text) > MAX_LENGTH:
        raise BadPath(f"a path is {MAX_LENGTH} characters long at most")
    bare = _QUOTED.sub("''", text)
    if bare.count("..") > 1:
        raise BadPath("a path may have one .. only; more of them take too long in large documents")
    if bare.count("$") > 1:
        raise BadPath("a filter can't begin at the root ($); that takes too long in large documents")
    if re.search(r"\b(match|search)\s*\(", bare):
        raise BadPath("match() and search() are not there: regular expressions may take too long")
    try:
        compiled = _ENVIRONMENT.compile(text)
    except JSONPathError as error:
        raise BadPath(f"this is no JSONPath (RFC 9535), such as $.data.status: {error.message}") from None
    except (RecursionError, ValueError):
        raise BadPath("this is no JSONPath (RFC 9535), such as $.data.status") from None
    if isinstance(compiled, CompoundJSONPath):
        raise BadPath("one path is needed, without | and &")
    return Path(text, compiled)


def is_same(left: Json, right: Json) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, and neither is true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    return bool(left == right)
