"""Address ranges that are not the public internet.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and successors), the multicast ranges,
and the platform address of a large cloud that looks public. Python's `is_global` is no substitute: on 3.11 it calls
multicast, NAT64 and 6to4 global. IPv6 is judged the other way round too: outside 2000::/3 nothing is assigned for
general use, so whatever is not listed there is reserved.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Range:
    """A range that is refused. `kind` follows "is" in a sentence: `a private address`."""

    network: Network
    kind: str


def special_range(address: Address) -> Range | None:
    """The range that keeps `address` from being called, None when it is an ordinary public address.

    An address that carries an IPv4 address inside (`inner_address`) has to be unwrapped first.
    """
    for candidate in _IPV4 if isinstance(address, IPv4Address) else _IPV6:
        if address in candidate.network:
            return candidate
    if isinstance(address, IPv6Address):
        if address not in _GLOBAL_UNICAST:
            return Range(ip_network("::/0"), "a reserved address")
        if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
            return special_range(IPv4Address(int(address) & 0xFFFF_FFFF))
    return None


def inner_address(address: Address) -> Address:
    """The IPv4 address that a packet to `address` would end at, or `address` itself.

    Covers IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765) and the NAT64 prefix that networks without IPv4 use for
    every public host (RFC 6052). 6to4, Teredo and local NAT64 prefixes are refused as a whole instead.
    """
    if isinstance(address, IPv6Address) and any(address in prefix for prefix in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _ranges(listed: str) -> tuple[Range, ...]:
    rows = (line.split(maxsplit=1) for line in listed.strip().splitlines())
    return tuple(Range(ip_network(network), kind) for network, kind in rows)


_IPV4 = _ranges("""
    127.0.0.0/8         a loopback address
    10.0.0.0/8          a private address
    172.16.0.0/12       a private address
    192.168.0.0/16      a private address
    169.254.0.0/16      a link-local address, where clouds keep their metadata service
    168.63.129.16/32    the address of a cloud's own platform service
    100.64.0.0/10       an address behind a carrier's NAT
    0.0.0.0/8           an address of this very network
    192.0.0.0/24        an address reserved for protocols
    192.0.2.0/24        a documentation address
    198.51.100.0/24     a documentation address
    203.0.113.0/24      a documentation address
    198.18.0.0/15       a benchmarking address
    192.31.196.0/24     an address of the AS112 service
    192.175.48.0/24     an address of the AS112 service
    192.52.193.0/24     an address of a multicast tunnel
    192.88.99.0/24      an address of a 6to4 relay
    224.0.0.0/4         a multicast address
    255.255.255.255/32  the broadcast address
    240.0.0.0/4         a reserved address
""")

_IPV6 = _ranges("""
    ::1/128             a loopback address
    ::/128              the unspecified address
    ::/96               an IPv4-compatible address
    64:ff9b:1::/48      an address of a local NAT64 prefix
    100::/64            a discard address
    100:0:0:1::/64      a dummy address
    2001::/32           a Teredo address
    2001:2::/48         a benchmarking address
    2001:10::/28        an ORCHID identifier
    2001:20::/28        an ORCHID identifier
    2001:30::/28        a drone identifier
    2001::/23           an address reserved for protocols
    2001:db8::/32       a documentation address
    3fff::/20           a documentation address
    2002::/16           a 6to4 address
    2620:4f:8000::/48   an address of the AS112 service
    5f00::/16           a segment routing identifier
    fc00::/7            a private (unique local) address
    fe80::/10           a link-local address
    fec0::/10           a site-local address
    ff00::/8            a multicast address
""")

_GLOBAL_UNICAST = ip_network("2000::/3")

_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFCFF_FFFF
"""What stands before the IPv4 address that a tunnel leads to (RFC 5214, 6.1); the mask leaves the u and g bits open."""

_TRANSLATED = (ip_network("::ffff:0:0/96"), ip_network("::ffff:0:0:0/96"), ip_network("64:ff9b::/96"))

REFUSED = _IPV4 + _IPV6
"""Every range that is refused by name."""
