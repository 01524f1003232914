"""A recorded call as a `curl` command that can be pasted into a shell.

Everything that came from outside is quoted so that the shell, and the terminal that it is pasted into, take it as
text: control characters are written as escapes (ANSI-C quoting of bash and zsh), never as themselves.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from crossdock.model.event import REDACTED

MOST_BODY = 16_384
"""Bytes of a body that stand in the command; a longer one comes from a file."""
_OF_THE_CALL = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "content-encoding"}
)
"""Headers that curl writes itself, or that are not true of what it sends."""
_PLAIN = re.compile(r"[\x20-\x7e\n\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0600]*")
"""What may stand in single quotes as it is."""


def curl_command(origin: str, request: Mapping[str, Any], body: bytes | None, file_name: str) -> str:
    """The command. `body` is None where it is too long to be at hand; `file_name` is what a download is called."""
    query = urlencode([(name, one) for name, value in request["query"].items() for one in _list(value)])
    url = origin + quote(request["path"], safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
    parts = [f"curl -X {shell_word(request['method'])} {shell_word(url)}"]
    for name, value in request["headers"].items():
        if name.lower() not in _OF_THE_CALL:
            parts += [f"-H {shell_word(f'{name}: {one}')}" for one in _list(value) if one != REDACTED]
    if body is None or (len(body) > MOST_BODY or not _is_text(body)):
        parts.append(f"--data-binary {shell_word(f'@{file_name}')}")
    elif body:
        parts.append(f"--data-raw {shell_word(body.decode())}")
    return " \\\n  ".join(parts)


def left_out(request: Mapping[str, Any]) -> list[str]:
    """The names of the headers whose values were not kept, so that the command can't have them."""
    return [name for name, value in request["headers"].items() if REDACTED in _list(value)]


def takes_file(body: bytes | None) -> bool:
    """Whether the command wants the body in a file."""
    return body is None or len(body) > MOST_BODY or not _is_text(body)


def shell_word(text: str) -> str:
    """The text as one word of a shell."""
    if _PLAIN.fullmatch(text):
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    code = ord(character)
    if character in "\\'":
        return f"\\{character}"
    if 0x20 <= code < 0x7F:
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_text(body: bytes) -> bool:
    try:
        return "\x00" not in body.decode()
    except UnicodeDecodeError:
        return False


def _list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]
