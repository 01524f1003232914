"""What single fields of an integration document may hold. Each check gives the value back or a ValueError in words."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from crossdock.model.time import format_duration, parse_duration

NAME_LENGTH = 120
PATH_LENGTH = 200
SET = "[set]"
"""Stands for a secret value that is kept; writing it back keeps it."""

_MAX_HEADERS = 50
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_OWN_HEADERS = frozenset(
    {
        "content-type",
        "content-length",
        "host",
        "idempotency-key",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
)
_HOP_BY_HOP = frozenset(  # RFC 9110 section 7.6.1
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SECRET_WORDS = ("authorization", "token", "secret", "key", "password", "cookie", "credential", "signature", "auth")


def check_name(text: str) -> str:
    """A trimmed name of 1 to 120 characters without control characters."""
    return check_line(text, NAME_LENGTH)


def check_line(text: str, longest: int) -> str:
    """One trimmed line of text, not empty."""
    line = text.strip()
    if not line:
        raise ValueError("must not be empty")
    if len(line) > longest:
        raise ValueError(f"must be {longest} characters at most, not {len(line)}")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line):
        raise ValueError("must be one line without control characters")
    return line


def slug(name: str) -> str:
    """The path made from a name: `Create customer record` gives `create-customer-record`; empty when nothing fits."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._~]+", "-", plain).strip("-.")[:PATH_LENGTH]


def check_path(path: str) -> str:
    """Segments of letters, digits and `. _ ~ -`, divided by single slashes; none of them `.` or `..`."""
    if not path:
        raise ValueError("must not be empty; leave it out to have it made from the name")
    if len(path) > PATH_LENGTH:
        raise ValueError(f"must be {PATH_LENGTH} characters at most, not {len(path)}")
    if path.startswith("/") or path.endswith("/"):
        raise ValueError("must not begin or end with '/'")
    for segment in path.split("/"):
        if segment in ("", ".", ".."):
            raise ValueError("must not contain empty segments, '.' or '..'")
        if not _SEGMENT.fullmatch(segment):
            raise ValueError("may contain letters without accents, digits, '.', '_', '~', '-' and '/' only")
    return path


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Headers for a reply: no line breaks, none that HTTP or Crossdock itself sets, none twice."""
    if len(headers) > _MAX_HEADERS:
        raise ValueError(f"may have {_MAX_HEADERS} headers at most")
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:100]!r} is not a header name (RFC 9110)")
        if lower in _HOP_BY_HOP or lower in _OWN_HEADERS:
            raise ValueError(f"{name} is set by Crossdock or by HTTP itself; leave it out")
        if lower in seen:
            raise ValueError(f"{name} is there twice (upper and lower case are the same)")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} must be up to 4096 visible ASCII characters without line breaks")
        seen.add(lower)
    return {name: value.strip() for name, value in headers.items()}


def is_secret_header(name: str) -> bool:
    """Whether the value of a header of this name is taken for a credential: kept sealed and never shown."""
    lower = name.lower()
    return any(word in lower for word in _SECRET_WORDS)


def check_origin(origin: str) -> str:
    """A web origin, scheme and host, or `*` for every page."""
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{origin[:100]!r} is not an origin; write it like https://shop.example, or *")
    return origin.lower()


def check_secret(text: str, shortest: int, longest: int) -> str:
    """A credential of visible ASCII characters, so that it survives being sent in a header."""
    if not shortest <= len(text) <= longest:
        raise ValueError(f"must be {shortest} to {longest} characters long, not {len(text)}")
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("may contain visible ASCII characters only: no spaces, no accents, no line breaks")
    return text


def duration_between(shortest: float, longest: float) -> AfterValidator:
    """A check of ISO 8601 text; both limits are seconds and allowed themselves."""

    def check(text: str) -> str:
        seconds = parse_duration(text)
        if not shortest <= seconds <= longest:
            low = "longer than PT0S" if shortest < 0.01 else f"{format_duration(shortest)} at least"
            raise ValueError(f"must be {low} and {format_duration(longest)} at most")
        return text

    return AfterValidator(check)


def _visible(text: str) -> str:
    return check_secret(text, 1, 100)


def _username(text: str) -> str:
    if ":" in text:
        raise ValueError("must not contain ':' (RFC 7617)")
    return check_line(text, 255)


def _password(text: str) -> str:
    if not 1 <= len(text) <= 1024 or any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("must be 1 to 1024 characters without control characters")
    return text


def _default_value(text: str) -> str:
    if len(text) > 4096 or any(unicodedata.category(character) == "Cs" for character in text):
        raise ValueError("must be 4096 characters at most, of valid Unicode")
    return text


def _platform_token(text: str) -> str:
    return check_secret(text, 8, 1024)


_HOUR, _DAY = 3_600.0, 86_400.0
_TINY = 0.001

Name: TypeAlias = Annotated[str, AfterValidator(check_name)]
Path: TypeAlias = Annotated[str, AfterValidator(check_path)]
Headers: TypeAlias = Annotated[dict[str, str], AfterValidator(check_headers)]
Origin: TypeAlias = Annotated[str, AfterValidator(check_origin)]
PlatformToken: TypeAlias = Annotated[str, AfterValidator(_platform_token)]
Username: TypeAlias = Annotated[str, AfterValidator(_username)]
Password: TypeAlias = Annotated[str, AfterValidator(_password)]
ParameterName: TypeAlias = Annotated[str, AfterValidator(_visible)]
ParameterDefault: TypeAlias = Annotated[str, AfterValidator(_default_value)]
RequestTimeout: TypeAlias = Annotated[str, duration_between(_TINY, 30 * _DAY)]
RatePeriod: TypeAlias = Annotated[str, duration_between(1.0, _DAY)]
DedupeWindow: TypeAlias = Annotated[str, duration_between(1.0, 30 * _DAY)]
RetryDelay: TypeAlias = Annotated[str, duration_between(0.0, _DAY)]
LongestDelay: TypeAlias = Annotated[str, duration_between(0.0, 7 * _DAY)]
Silence: TypeAlias = Annotated[str, duration_between(1.0, 366 * _DAY)]
Retention: TypeAlias = Annotated[str, duration_between(60.0, 3_660 * _DAY)]

LONGEST_SYNC_TIMEOUT = _HOUR
"""Seconds that a caller may be kept waiting; longer than any proxy in between holds a connection."""
