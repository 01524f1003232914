"""The guard against a table of addresses: every special-purpose range, at both ends, in every disguise.

The table is written down from the IANA registries anew and not taken from the code that it judges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.clock import system_now
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender, Message
from crossdock.outbound.connection import HttpConnection
from crossdock.outbound.guard import Guard, TargetRefused
from crossdock.outbound.ranges import Address, special_range
from crossdock.outbound.request import HttpRequest
from tests.outbound.conftest import listening, saying

IANA_IPV4 = (
    "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "255.255.255.255/32",
)  # fmt: skip
IANA_IPV6 = (
    "::1/128", "::/128", "::ffff:0:0/97", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32",
    "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28",
    "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16",
    "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "::/96", "200::/7", "400::/6", "4000::/3", "8000::/1",
)  # fmt: skip
JUST_OUTSIDE = (
    "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
    "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255",
    "203.0.114.0", "223.255.255.255", "2001:200::", "2003::", "2000::", "2620:4f:7fff::", "2620:4f:8001::", "3ffe::",
    "2001:db7:ffff::", "2001:db9::",
)  # fmt: skip
INNER = ("127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1")


def ends(listed: tuple[str, ...]) -> Iterator[str]:
    """The first and the last address of each range; `::ffff:0:0/97` stands for 0.0.0.0/1 mapped."""
    for network in map(ip_network, listed):
        yield from dict.fromkeys(map(str, (network[0], network[-1] if network.prefixlen != 97 else network[0])))


def disguises(inner: str) -> Iterator[str]:
    """IPv6 addresses that lead to an IPv4 address."""
    number = int(IPv4Address(inner))
    high, low = number >> 16, number & 0xFFFF
    yield f"::ffff:{inner}"
    yield f"::ffff:0:{inner}"
    yield f"::{inner}"
    yield f"64:ff9b::{inner}"
    yield f"64:ff9b:1::{inner}"
    yield f"64:ff9b:1:{high:x}:{low >> 8:x}:{(low & 0xFF) << 8:x}::"
    yield f"2002:{high:x}:{low:x}::1"
    yield f"2001:0:4136:e378:8000:63bf:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"
    yield f"fe80::5efe:{inner}"
    yield f"2a00:1450:1:2:0:5efe:{inner}"
    yield f"2a00:1450:1:2:200:5efe:{inner}"


@pytest.mark.parametrize("address", dict.fromkeys([*ends(IANA_IPV4), *ends(IANA_IPV6)]))
def test_every_special_purpose_range_is_refused_from_end_to_end(address: str) -> None:
    with pytest.raises(TargetRefused, match="CROSSDOCK_ALLOWED_TARGETS"):
        Guard().check_address(ip_address(address), host="erp.example")


@pytest.mark.parametrize("address", JUST_OUTSIDE)
def test_what_lies_just_outside_may_be_called(address: str) -> None:
    Guard().check_address(ip_address(address), host="erp.example")


@pytest.mark.parametrize("address", dict.fromkeys(form for inner in INNER for form in disguises(inner)))
def test_a_private_address_in_disguise_is_refused(address: str) -> None:
    with pytest.raises(TargetRefused):
        Guard().check_address(ip_address(address), host="erp.example")
    with pytest.raises(TargetRefused):
        Guard().check_url(f"https://[{address}]/")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_translated_form(address: IPv4Address) -> None:
    refused = special_range(address) is not None

    for form in (f"::ffff:{address}", f"::ffff:0:{address}", f"64:ff9b::{address}"):
        outcome = True
        with suppress(TargetRefused):
            Guard().check_address(ip_address(form), host="erp.example")
            outcome = False
        assert outcome is refused


@given(st.ip_addresses(v=6))
def test_outside_of_what_is_assigned_nothing_but_translated_addresses_is_called(address: IPv6Address) -> None:
    translated = any(address in IPv6Network(net) for net in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
    if address in IPv6Network("2000::/3") or translated:
        return

    with pytest.raises(TargetRefused):
        Guard().check_address(address, host="erp.example")


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.0.0.1", "0177.0.0.1", "0177.0x0.0.1", "127.1",
        "127.0.1", "0", "0x0", "00", "127.0.0.01", "127.0.0.1.", "127.0.0.1..", "127。0。0。1", "127．0．0．1",
        "127｡0｡0｡1",
        "１２７.0.0.1", "①②⑦.0.0.1", "127.0.0.1%00", "127.0.0.1%2eexample.com", "4294967295", "999.1.1.1", "1.2.3",
        "[::1%25lo]", "[fe80::1%eth0]", "[::127.0.0.1]", "[::ffff:127.1]", "[0:0:0:0:0:ffff:7f00:1]", "[::]", "[:::]",
        "[::1].", "[::1]x", "localhost", "LOCALHOST.", "a.localhost", "ｌｏｃａｌｈｏｓｔ",
        "loc\u00adalhost", "localhost。",
    ],
)  # fmt: skip
def test_no_spelling_of_this_machine_is_accepted(host: str) -> None:
    with pytest.raises(TargetRefused):
        Guard().check_url(f"https://{host}/")


# --- names -----------------------------------------------------------------------------------------------------------


class Rebinding:
    """A name server that gives one list of addresses after the other, and the last one for ever."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = answers
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[Address]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [ip_address(text) for text in answer]


@pytest.mark.parametrize(
    "addresses",
    [
        ("8.8.8.8", "10.0.0.1"),
        ("10.0.0.1", "8.8.8.8"),
        ("2606:4700::1111", "::ffff:127.0.0.1"),
        ("8.8.8.8", "8.8.4.4", "169.254.169.254"),
    ],
)
async def test_a_name_with_a_public_and_a_private_address_is_refused(addresses: tuple[str, ...]) -> None:
    sender = HttpSender(Guard(), system_now, lookup=Rebinding(addresses))

    report = await sender.ask(Message("GET", "https://erp.example/"))

    await sender.close()
    assert report.permanent
    assert "erp.example resolves to" in (report.error or "")


async def test_the_connection_goes_to_the_address_that_was_checked(anyio_backend: str) -> None:
    """The name is asked once for a connection; what it would say a moment later does not matter."""
    reached: list[str] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(writer.get_extra_info("sockname")[0])
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    names = Rebinding(("127.0.0.2",), ("127.0.0.1",))
    sender = HttpSender(Guard((ip_network("127.0.0.2"),)), system_now, lookup=names)
    async with listening(answer, host="127.0.0.2") as port:
        report = await sender.ask(Message("GET", f"http://erp.example:{port}/"))

    await sender.close()
    assert (report.status, reached, names.asked) == (204, ["127.0.0.2"], 1)


async def test_a_connection_is_checked_when_its_name_moves(anyio_backend: str) -> None:
    names = Rebinding(("127.0.0.2",), ("127.0.0.1",))
    sender = HttpSender(Guard((ip_network("127.0.0.2"),)), system_now, lookup=names)
    caller = HttpCaller(sender)
    close = saying(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
    async with listening(close, host="127.0.0.2") as port:
        connection = HttpConnection("con_1", 1, "ERP", f"http://erp.example:{port}")
        first = await caller.call(HttpRequest("GET", "/"), connection)
        second = await caller.call(HttpRequest("GET", "/"), connection)

    await caller.close()
    await sender.close()
    assert first.status == 204
    assert second.permanent
    assert "resolves to 127.0.0.1, a loopback address" in (second.error or "")


async def test_a_redirect_to_a_name_that_leads_inside_is_refused(anyio_backend: str) -> None:
    class Names:
        async def __call__(self, host: str, port: int) -> list[Address]:
            return [ip_address("127.0.0.2" if host == "erp.example" else "10.0.0.7")]

    sender = HttpSender(Guard((ip_network("127.0.0.2"),)), system_now, lookup=Names())
    hop = saying(b"HTTP/1.1 302 Found\r\nlocation: https://inside.example/\r\ncontent-length: 0\r\n\r\n")
    async with listening(hop, host="127.0.0.2") as port:
        connection = HttpConnection("con_1", 1, "ERP", f"http://erp.example:{port}", follow_redirects=True)
        report = await HttpCaller(sender).call(HttpRequest("GET", "/"), connection)

    await sender.close()
    assert report.permanent
    assert "inside.example resolves to 10.0.0.7, a private address" in (report.error or "")


def test_a_zone_does_not_make_an_address_another_one() -> None:
    for text in ("fe80::1%eth0", "::1%lo", "fc00::1%1"):
        with pytest.raises(TargetRefused):
            Guard().check_address(ip_address(text), host="erp.example")
