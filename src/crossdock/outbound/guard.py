"""Which addresses Crossdock may call.

Replies, notifications and steps go to URLs that people configure, from inside a network that trusts this machine. So
every URL is read strictly, every address it resolves to is checked, and the connection is made to a checked address
only. By default that is the public internet over HTTPS; the setting CROSSDOCK_ALLOWED_TARGETS opens private networks
and hosts, plain HTTP included.

Two doors: `Guard.check_url` when a URL is saved (no network), and `Guard.check_address` for each socket that the
client opens. The second one decides: names may resolve differently from one moment to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from yarl import URL

from crossdock.model.errors import Invalid
from crossdock.outbound.ranges import Address, Network, inner_address, special_range

MAX_URL_LENGTH = 2_048
"""Of a URL that is saved."""
MAX_CALLED_LENGTH = 8_192
"""Of a URL that is called, with what steps add to it."""
SETTING = "CROSSDOCK_ALLOWED_TARGETS"

_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[/?#].*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class TargetRefused(Invalid):
    """A URL or address that must not be called. The message names it, the reason, and what would allow it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that was read and found acceptable. `host` is the ASCII name or the address, without a final dot."""

    url: URL
    scheme: str
    host: str
    port: int
    address: Address | None
    """Set when the URL names an address instead of a host."""


@dataclass(frozen=True, slots=True)
class Guard:
    """`networks` and `hosts` are what CROSSDOCK_ALLOWED_TARGETS opens; hosts in lower case, without a final dot."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    def check_url(self, url: str) -> None:
        """Refuse a URL that could never be called, without asking the network. Raises TargetRefused."""
        if len(url) > MAX_URL_LENGTH:
            raise TargetRefused(f"the URL is longer than {MAX_URL_LENGTH} characters")
        self.read_target(url)

    def read_target(self, url: str) -> Target:
        """Read `url` strictly and check all that can be checked before its name is resolved. Raises TargetRefused."""
        target = _parse(url)
        if target.address is not None:
            self.check_address(target.address, host=target.host, scheme=target.scheme)
        elif target.host not in self.hosts:
            self._check_name(target)
        return target

    def check_address(self, address: Address, *, host: str, scheme: str = "https") -> None:
        """Refuse `address`, which `host` stands for, unless it is public and HTTPS, or allowed: TargetRefused."""
        inner = inner_address(address)
        if host in self.hosts or any(inner in network or address in network for network in self.networks):
            return
        special = special_range(inner)
        if special is not None:
            named = str(address) if inner == address else f"{address} (which leads to {inner})"
            subject = f"{named} is" if host in (str(address), str(inner)) else f"{host} resolves to {named},"
            raise TargetRefused(
                f"{subject} {special.kind}, which is not called; to allow it, list {_advice(host, inner)} in {SETTING}"
            )
        if scheme != "https":
            raise TargetRefused(_plain_http(host))

    def _check_name(self, target: Target) -> None:
        if target.host == "localhost" or target.host.endswith(".localhost"):  # loopback by RFC 6761
            if not any(home in network for network in self.networks for home in _HOME):
                raise TargetRefused(
                    f"{target.host} is this machine itself, which is not called; to allow it, list {target.host} in"
                    f" {SETTING}"
                )
        elif target.scheme != "https" and not self.networks:
            raise TargetRefused(_plain_http(target.host))


_HOME = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def _plain_http(host: str) -> str:
    return f"{host} would be called over plain http; use https, or list the host in {SETTING} if it is your own"


def _advice(host: str, address: Address) -> str:
    return f"{address}" if host == str(address) else f"{host} or {address}"


def _parse(text: str) -> Target:
    _check_characters(text)
    shape = _SHAPE.fullmatch(text)
    if shape is None or shape["scheme"].lower() not in ("http", "https"):
        raise TargetRefused("the URL has to begin with https:// (http:// for allowed hosts) and name a host")
    authority = shape["authority"]
    if "@" in authority:
        raise TargetRefused("the URL carries credentials before the host (user:password@); send them in a header")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or "%" in authority:
        raise TargetRefused("the host in the URL is not valid; write a name or an address, and at most one port")
    if parts["port"] is not None and not 1 <= int(parts["port"]) <= 65_535:
        raise TargetRefused(f"the port {parts['port']} in the URL is not between 1 and 65535")
    if not parts["host"]:
        raise TargetRefused("the URL names no host")
    return _target(text, parts["host"])


def _check_characters(text: str) -> None:
    if len(text) > MAX_CALLED_LENGTH:
        raise TargetRefused(f"the URL is longer than {MAX_CALLED_LENGTH} characters")
    if any(ord(character) <= 0x20 or 0x7F <= ord(character) <= 0xA0 for character in text):
        raise TargetRefused("the URL contains a space, a line break or another control character")
    if "\\" in text:
        raise TargetRefused("the URL contains a backslash; write / instead")


def _target(text: str, written: str) -> Target:
    try:
        url = URL(text).with_fragment(None)
    except ValueError as error:
        raise TargetRefused(f"the URL is not valid: {error}") from None
    host = (url.raw_host or "").lower()
    address = _literal(host)
    name = host if address is not None else _canonical_host(host)
    if name is None or url.port is None:
        raise TargetRefused(f"{written} in the URL is not a host name")
    if address is None and _looks_like_number(name):
        raise TargetRefused(f"{written} in the URL is a number; write the address in full, such as 203.0.113.7")
    return Target(url, url.scheme, name if address is None else str(address), url.port, address)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _canonical_host(text: str) -> str | None:
    """The lower-case ASCII name without its final dot; None when it is not a host name (RFC 1123, `_` tolerated)."""
    try:
        name = (URL.build(scheme="https", host=text).raw_host or "").lower().removesuffix(".")
    except ValueError:
        return None
    labels = name.split(".")
    return name if len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels) else None


def _looks_like_number(host: str) -> bool:
    """Whether libraries would read `host` as an IPv4 address in disguise: `2130706433`, `0x7f.1`, `127.1`."""
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
