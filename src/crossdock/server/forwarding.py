"""Who really calls, behind reverse proxies that the operator trusts."""

from __future__ import annotations

from collections.abc import MutableMapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


def tell_true_client(scope: MutableMapping[str, Any], trusted: Networks) -> None:
    """Put the caller's address and scheme into `scope` when the connection comes from a trusted proxy.

    The caller is the last address of X-Forwarded-For that is not a trusted proxy itself: what stands before it was
    written by somebody whom nobody vouches for.
    """
    client = scope.get("client")
    if client is None or not _is_trusted(client[0], trusted):
        return
    chain: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            chain += [part.strip() for part in value.decode("latin-1").split(",")]
        elif name == b"x-forwarded-proto" and value in (b"http", b"https"):
            scope["scheme"] = value.decode()
    caller = next((address for address in reversed(chain) if not _is_trusted(address, trusted)), None)
    if caller is not None and _parse(caller) is not None:
        scope["client"] = (caller, 0)


def _is_trusted(text: str, trusted: Networks) -> bool:
    address = _parse(text)
    return address is not None and any(address.version == net.version and address in net for net in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
