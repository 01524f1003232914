"""A `curl` command that somebody pasted, as the call that it would make. Nothing of it is carried out.

Words are split as a shell splits them (POSIX quoting, and `$'...'` of bash and zsh), without any expansion. What the
call can't have, such as a body from a file, is refused in words; options that change nothing of the call are left out.
"""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit

from crossdock.model.errors import FieldError, Invalid

FORM_TYPE = "application/x-www-form-urlencoded"
LONGEST = 1024 * 1024

_LEFT_OUT = """
    -i --include -s --silent -S --show-error -k --insecure -L --location -v --verbose -f --fail --fail-with-body -4 -6
    --compressed -g --globoff --http1.1 --http2 -N --no-buffer -# --progress-bar -j -O -J -n -q --tlsv1.2 --tlsv1.3
"""
_LEFT_OUT_WITH_VALUE = """
    -o --output -m --max-time --connect-timeout --retry --retry-delay --cacert --cert --key -E -w --write-out -x --proxy
    --resolve -c --cookie-jar --max-redirs --limit-rate --interface -D --dump-header --stderr --ciphers
"""
_WITHOUT_VALUE = frozenset(_LEFT_OUT.split())
_WITH_VALUE = frozenset(_LEFT_OUT_WITH_VALUE.split())
_SHORT_WITH_VALUE = "XHduAbeFomEwxcD"
_ALIASES = {
    "-X": "--request",
    "-H": "--header",
    "-d": "--data",
    "--data-ascii": "--data",
    "-G": "--get",
    "-I": "--head",
    "-u": "--user",
    "-A": "--user-agent",
    "-b": "--cookie",
    "-e": "--referer",
    "-F": "--form",
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b", "0": "\0"}


@dataclass(slots=True)
class PastedCall:
    """What the command would send. `remarks` say what people may not expect."""

    method: str = ""
    path: str = ""
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    remarks: list[str] = field(default_factory=list)

    def has_header(self, name: str) -> bool:
        return any(each.lower() == name for each, _ in self.headers)


def read_curl(text: str) -> PastedCall:
    """The call; Invalid says what can't be read, and what to do instead."""
    if len(text) > LONGEST:
        raise _wrong(f"has more than {LONGEST // 1024} KiB; paste the body into the form instead")
    words = split_words(text)
    if not words or words[0].rpartition("/")[2].removesuffix(".exe") != "curl":
        raise _wrong("begins with curl, as a browser's or an API's documentation copies it")
    reading = _Reading()
    for option, value in _options(words[1:]):
        reading.take(option, value)
    return reading.end()


# --- options ---------------------------------------------------------------------------------------------------------


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Each option with its value; the address as `--url`."""
    waiting = deque(words)
    while waiting:
        word = waiting.popleft()
        if not word.startswith("-") or word == "-":
            yield "--url", word
            continue
        name, value = word, ""
        if word.startswith("--"):
            name, _, value = word.partition("=")
        elif len(word) > 2:
            name, value = word[:2], word[2:]
            if word[1] not in _SHORT_WITH_VALUE:  # several without values in one word, as in -sS
                waiting.appendleft(f"-{value}")
                value = ""
        name = _ALIASES.get(name, name)
        if name in _WITHOUT_VALUE or name in ("--get", "--head"):
            yield name, ""
        else:
            yield name, value or (waiting.popleft() if waiting else "")


class _Reading:
    def __init__(self) -> None:
        self._call = PastedCall()
        self._parts: list[str] = []
        self._is_get = self._is_json = self._is_head = False
        self._url = ""

    def take(self, option: str, value: str) -> None:
        call = self._call
        match option:
            case "--request":
                call.method = value.upper()
            case "--url":
                if self._url:
                    raise _wrong(f"has two addresses, {self._url[:80]} and {value[:80]}: paste one call")
                self._url = value
            case "--header":
                self._header(value)
            case "--data" | "--data-raw" | "--data-binary" | "--json":
                self._is_json = self._is_json or option == "--json"
                self._data(value, option)
            case "--data-urlencode":
                name, sign, rest = value.partition("=")
                self._parts.append(f"{name}={quote_plus(rest)}" if sign and name else quote_plus(rest or value))
            case "--get":
                self._is_get = True
            case "--head":
                self._is_head = True
            case "--user":
                call.headers.append(("Authorization", f"Basic {base64.b64encode(value.encode()).decode()}"))
            case "--user-agent" | "--referer" | "--cookie":
                call.headers.append(
                    ({"--user-agent": "User-Agent", "--referer": "Referer"}.get(option, "Cookie"), value)
                )
            case "--form":
                raise _wrong("sends a form with files (-F), which is not read here; use a past event instead")
            case _ if option not in _WITHOUT_VALUE | _WITH_VALUE:
                raise _wrong(f"has the option {option[:60]}, which is not known here; leave it out")

    def _header(self, value: str) -> None:
        if value.startswith("@"):
            raise _wrong("takes headers from a file, which is not here; write them into the command")
        name, _, rest = value.partition(":")
        if name.strip():
            self._call.headers.append((name.strip(), rest.strip()))

    def _data(self, value: str, option: str) -> None:
        if value.startswith("@") and option != "--data-raw":
            raise _wrong(
                f"takes its body from the file {value[1:80]}, which is not here; paste its content in place of it"
            )
        self._parts.append(re.sub(r"[\r\n]", "", value) if option == "--data" and len(self._parts) else value)

    def end(self) -> PastedCall:
        call = self._call
        if not self._url:
            raise _wrong("has no address")
        url = urlsplit(self._url if "//" in self._url else f"//{self._url}")
        call.path = unquote(url.path) or "/"
        call.query = parse_qsl(url.query, keep_blank_values=True)
        data = ("" if self._is_json else "&").join(self._parts)
        if self._is_get:
            call.query += parse_qsl(data, keep_blank_values=True)
        elif self._parts:
            call.body = data
            self._name_type()
        call.method = call.method or ("HEAD" if self._is_head else "GET" if self._is_get or not self._parts else "POST")
        return call

    def _name_type(self) -> None:
        call = self._call
        if call.has_header("content-type"):
            return
        call.headers.append(("Content-Type", "application/json" if self._is_json else FORM_TYPE))
        if not self._is_json and call.body.lstrip()[:1] in ("{", "["):
            call.remarks.append(
                "curl sends this body as a form, because the command names no content type. For JSON, add"
                " -H 'Content-Type: application/json'."
            )


# --- words -----------------------------------------------------------------------------------------------------------


def split_words(text: str) -> list[str]:
    """The words of a command as a shell splits them; Invalid where a quote is not closed."""
    words: list[str] = []
    word: str | None = None
    at = 0
    while at < len(text):
        sign = text[at]
        if sign.isspace():
            if word is not None:
                words.append(word)
                word = None
            at += 1
        elif sign == "\\":
            if text[at + 1 : at + 2] != "\n":  # that goes on in the next line
                word = (word or "") + text[at + 1 : at + 2]
            at += 2
        elif sign in "'\"" or text.startswith("$'", at):
            part, at = _quoted(text, at)
            word = (word or "") + part
        else:
            word = (word or "") + sign
            at += 1
    return words if word is None else [*words, word]


_IN_QUOTES = re.compile(r"'([^']*)'", re.DOTALL)
_IN_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_IN_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands in the quotes that begin there, and where they end."""
    pattern = {"'": _IN_QUOTES, '"': _IN_DOUBLE, "$": _IN_ANSI}[text[at]]
    found = pattern.match(text, at)
    if found is None:
        raise _wrong("has a quote that is not closed")
    inner = found[1]
    if text[at] == '"':
        inner = re.sub(r'\\(["\\$`]|\n)', lambda each: "" if each[1] == "\n" else each[1], inner)
    elif text[at] == "$":
        inner = re.sub(
            r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|.)", _unescaped, inner, flags=re.DOTALL
        )
    return inner, found.end()


def _unescaped(found: re.Match[str]) -> str:
    sign = found[1]
    if sign[0] in "xuU" and len(sign) > 1:
        code = int(sign[1:], 16)
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    return _ESCAPES.get(sign, sign)


def _wrong(message: str) -> Invalid:
    return Invalid(f"the command {message}", (FieldError("curl", message),))
