"""Which URLs and addresses may be called, and what a refusal says."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.outbound.guard import Guard, TargetRefused

PUBLIC = ("8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450::1")

SPECIAL = {
    "loopback": ("127.0.0.1", "127.255.255.255", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254"),
    "link-local": ("169.254.169.254", "fe80::1", "febf::1"),
    "NAT": ("100.64.0.1", "100.127.255.255", "64:ff9b:1::1"),
    "network": ("0.0.0.0", "0.1.2.3"),
    "platform": ("168.63.129.16",),
    "protocols": ("192.0.0.8", "192.0.0.170", "2001:1::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarking": ("198.18.0.1", "198.19.255.255", "2001:2::1"),
    "AS112": ("192.31.196.1", "192.175.48.1", "2620:4f:8000::1"),
    "tunnel": ("192.52.193.1",),
    "6to4": ("192.88.99.1", "2002:7f00:1::", "2002:808:808::1"),
    "multicast": ("224.0.0.1", "239.255.255.250", "ff02::1"),
    "broadcast": ("255.255.255.255",),
    "reserved": ("240.0.0.1", "4000::1", "200::1", "fe00::1"),
    "unspecified": ("::",),
    "compatible": ("::7f00:1", "::8.8.8.8"),
    "discard": ("100::1",),
    "dummy": ("100:0:0:1::1",),
    "Teredo": ("2001:0:4136:e378::1",),
    "ORCHID": ("2001:10::1", "2001:20::1"),
    "drone": ("2001:30::1",),
    "segment": ("5f00::1",),
    "site-local": ("fec0::1",),
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    Guard().check_address(ip_address(address), host="erp.example")


@pytest.mark.parametrize(("kind", "address"), [(kind, one) for kind, listed in SPECIAL.items() for one in listed])
def test_a_special_address_is_refused_with_its_kind_and_the_setting(kind: str, address: str) -> None:
    with pytest.raises(TargetRefused) as refusal:
        Guard().check_address(ip_address(address), host="erp.example")

    message = str(refusal.value)
    assert f"erp.example resolves to {ip_address(address)}" in message
    assert kind in message
    assert "CROSSDOCK_ALLOWED_TARGETS" in message


@pytest.mark.parametrize("prefix", ["::ffff:", "::ffff:0:", "64:ff9b::"])
def test_a_translated_address_is_judged_by_the_address_inside(prefix: str) -> None:
    Guard().check_address(ip_address(f"{prefix}8.8.8.8"), host="erp.example")

    with pytest.raises(TargetRefused, match=r"leads to 169\.254\.169\.254"):
        Guard().check_address(ip_address(f"{prefix}169.254.169.254"), host="erp.example")


@given(st.ip_addresses(network="10.0.0.0/8"))
def test_a_private_network_stays_closed_in_every_mapped_form(address: object) -> None:
    with pytest.raises(TargetRefused):
        Guard().check_address(ip_address(f"::ffff:{address}"), host="erp.example")


def test_an_allowed_network_opens_its_addresses_and_no_others() -> None:
    guard = Guard((ip_network("10.1.0.0/16"), ip_network("127.0.0.1")))

    guard.check_address(ip_address("10.1.2.3"), host="erp.internal", scheme="http")
    guard.check_address(ip_address("::ffff:10.1.2.3"), host="erp.internal", scheme="http")
    guard.check_url("http://127.0.0.1:9000/sink")
    for address in ("10.2.0.1", "127.0.0.2", "::1"):
        with pytest.raises(TargetRefused):
            guard.check_address(ip_address(address), host="erp.internal")


def test_an_allowed_host_opens_whatever_it_resolves_to() -> None:
    guard = Guard(hosts=frozenset({"erp.internal"}))

    guard.check_url("http://erp.INTERNAL./callback")
    guard.check_address(ip_address("10.0.0.1"), host="erp.internal", scheme="http")
    with pytest.raises(TargetRefused):
        guard.check_address(ip_address("10.0.0.1"), host="crm.internal")


def test_plain_http_needs_an_allowed_target() -> None:
    with pytest.raises(TargetRefused, match="plain http"):
        Guard().check_url("http://erp.example/callback")
    with pytest.raises(TargetRefused, match="plain http"):
        Guard().check_url("http://8.8.8.8/callback")
    with pytest.raises(TargetRefused, match="plain http"):
        Guard((ip_network("10.0.0.0/8"),)).check_address(ip_address("8.8.8.8"), host="erp.example", scheme="http")


def test_a_name_over_plain_http_is_left_to_the_connection_once_networks_are_allowed() -> None:
    Guard((ip_network("10.0.0.0/8"),)).check_url("http://erp.internal/callback")


@pytest.mark.parametrize("url", ["https://localhost/", "https://db.localhost:8443/"])
def test_this_machine_by_name_is_refused_unless_allowed(url: str) -> None:
    with pytest.raises(TargetRefused, match="this machine itself"):
        Guard().check_url(url)

    Guard((ip_network("127.0.0.0/8"),)).check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://erp.example",
        "https://erp.example:8443/call/back?site=12&x=%2F#top",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:443/",
        "https://müller.example/ü",
        "https://xn--mller-kva.example/",
        "https://_dmarc.erp.example./x",
        "HTTPS://ERP.EXAMPLE/",
    ],
)
def test_an_ordinary_url_is_accepted(url: str) -> None:
    Guard().check_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "begin with https"),
        ("erp.example/callback", "begin with https"),
        ("//erp.example/callback", "begin with https"),
        ("ftp://erp.example/", "begin with https"),
        ("file:///etc/passwd", "begin with https"),
        ("javascript:alert(1)", "begin with https"),
        ("https:erp.example", "begin with https"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https://:8443/", "names no host"),
        ("https://user:password@erp.example/", "credentials"),
        ("https://erp.example@10.0.0.1/", "credentials"),
        ("https://@erp.example/", "credentials"),
        ("https://erp.example:0/", "port 0"),
        ("https://erp.example:65536/", "port 65536"),
        ("https://erp.example:443:80/", "not valid"),
        ("https://erp.example:/", "not valid"),
        ("https://erp.example:+80/", "not valid"),
        ("https://erp.example:８０/", "not valid"),
        ("https://erp.example:-1/", "not valid"),
        ("https://erp.example:99999999999/", "not valid"),
        ("https://%31%32%37.0.0.1/", "not valid"),
        ("https://[fe80::1%25eth0]/", "not valid"),
        ("https://[fe80::1%eth0]/", "not valid"),
        ("https://[::1/", "not valid"),
        ("https://erp.example\\@10.0.0.1/", "backslash"),
        ("https:\\\\erp.example/", "backslash"),
        ("https://erp.example/\r\nX-Injected: 1", "control character"),
        ("https://erp.example/\nx", "control character"),
        ("https://erp.example/a b", "control character"),
        (" https://erp.example/", "control character"),
        ("https://erp.example/\x00", "control character"),
        ("https://erp.example/\x85", "control character"),
        ("https://2130706433/", "number"),
        ("https://0x7f000001/", "number"),
        ("https://0x7f.1/", "number"),
        ("https://0177.0.0.1/", "number"),
        ("https://127.1/", "number"),
        ("https://127.0.0.1./", "number"),
        ("https://127.0.0.01/", "number"),
        ("https://256.256.256.256/", "number"),
        ("https://1.2.3.4.5/", "number"),
        ("https://erp..example/", "not a host name"),
        ("https://erp.example../", "not a host name"),
        ("https://-erp.example/", "not a host name"),
        ("https://" + "a" * 64 + ".example/", "not a host name"),
        ("https://" + "a." * 130 + "example/", "not a host name"),
        ("https://erp!.example/", "not a host name"),
        ("https://127.0.0.1/", "loopback"),
        ("https://１２７.0.0.1/", "loopback"),
        ("https://127。0。0。1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[::ffff:7f00:1]/", "loopback"),
        ("https://[64:ff9b::a9fe:a9fe]/", "metadata"),
        ("https://[2002:7f00:1::]/", "6to4"),
        ("https://erp.example/" + "x" * 2048, "longer than 2048"),
    ],
)
def test_a_hostile_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(TargetRefused, match=reason):
        Guard().check_url(url)


@pytest.mark.parametrize("url", ["https://2130706433/", "https://0x7f.1/", "https://127.1/"])
def test_a_number_in_disguise_is_refused_even_when_its_address_is_allowed(url: str) -> None:
    with pytest.raises(TargetRefused, match="number"):
        Guard((ip_network("127.0.0.0/8"),)).check_url(url)


def test_credentials_in_a_url_do_not_show_in_the_refusal() -> None:
    with pytest.raises(TargetRefused) as refusal:
        Guard().check_url("https://alice:opensesame@erp.example/")

    assert "opensesame" not in str(refusal.value)


@given(st.text(max_size=80))
def test_any_text_is_either_accepted_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://erp.example/{text}"):
        with suppress(TargetRefused):
            Guard().check_url(url)
