"""Private authorities, client certificates, and certificates that are not valid."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.connection import HttpConnection, OAuthClient, TlsOptions
from crossdock.outbound.faults import describe_failure
from crossdock.outbound.request import HttpRequest
from crossdock.outbound.tls import MAX_CONTEXTS, TlsCache, TlsUnusable, other_context, own_context
from tests.outbound.system import System, TokenEndpoint, running
from tests.server.certificates import Authority, serving

REQUEST = HttpRequest("GET", "/")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def clients() -> Authority:
    """Whose certificates the server takes."""
    return Authority("Clients CA")


@asynccontextmanager
async def erp(
    folder: Path, authority: Authority, *, address: str = "127.0.0.1", days: int = 30, **options: Any
) -> AsyncIterator[System]:
    certificate, key = authority.issue(address, days=days)
    async with running(serving(folder, certificate, key, **options)) as system:
        yield system


def connection_to(system: System, tls: TlsOptions, connection_id: str = "con_1", **changes: Any) -> HttpConnection:
    return replace(HttpConnection(connection_id, 1, "ERP", system.url, tls=tls), **changes)


async def test_a_private_authority_is_trusted_by_its_connection_alone(
    caller: HttpCaller, tmp_path: Path, authority: Authority
) -> None:
    async with erp(tmp_path, authority) as system:
        trusting = await caller.call(REQUEST, connection_to(system, TlsOptions(ca=authority.certificate)))
        other = await caller.call(REQUEST, connection_to(system, TlsOptions(), "con_2"))

    assert trusting.status == 200
    assert other.status is None
    assert "authority that is not known here" in (other.error or "")


@pytest.mark.parametrize(
    ("address", "days", "words"),
    [
        ("127.0.0.1", -1, "it has expired"),
        ("127.0.0.1", 50, "not valid yet"),
        ("127.0.0.2", 30, "another address"),
        ("erp.example", 30, "another address"),
    ],
)
async def test_a_certificate_that_is_not_valid_is_said_so(
    caller: HttpCaller, tmp_path: Path, authority: Authority, address: str, days: int, words: str
) -> None:
    async with erp(tmp_path, authority, address=address, days=days) as system:
        report = await caller.call(REQUEST, connection_to(system, TlsOptions(ca=authority.certificate)))
        unchecked = await caller.call(REQUEST, connection_to(system, TlsOptions(verify=False), "con_2"))

    assert report.status is None
    assert not report.permanent
    assert (report.error or "").startswith(f"the certificate of 127.0.0.1:{system.port} is not valid: ")
    assert words in (report.error or "")
    assert unchecked.status == 200


async def test_a_client_certificate_opens_the_door(
    caller: HttpCaller, tmp_path: Path, authority: Authority, clients: Authority
) -> None:
    certificate, key = clients.issue("crossdock")
    known = TlsOptions(ca=authority.certificate, certificate=certificate, key=key)
    async with erp(tmp_path, authority, clients=clients.certificate) as system:
        with_it = await caller.call(REQUEST, connection_to(system, known))
        without = await caller.call(REQUEST, connection_to(system, TlsOptions(ca=authority.certificate), "con_2"))

    assert with_it.status == 200
    assert without.status is None
    assert not without.permanent


@contextmanager
def strict_server(context: ssl.SSLContext) -> Iterator[str]:
    """The URL of a server that says in an alert why it hangs up; event loops hang up without a word."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with accepted, suppress(OSError):
                    context.wrap_socket(accepted, server_side=True)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


async def test_a_missing_or_strange_client_certificate_is_said_so(
    caller: HttpCaller, tmp_path: Path, authority: Authority, clients: Authority
) -> None:
    certificate, key = Authority("Strangers CA").issue("crossdock")
    none = TlsOptions(ca=authority.certificate)
    strange = replace(none, certificate=certificate, key=key)
    context = serving(tmp_path, *authority.issue(), clients=clients.certificate, at_most=ssl.TLSVersion.TLSv1_2)
    with strict_server(context) as url:
        errors = [
            (await caller.call(REQUEST, HttpConnection(f"con_{n}", 1, "ERP", url, tls=tls))).error or ""
            for n, tls in enumerate((none, strange))
        ]

    assert "may want a client certificate" in errors[0]
    assert "refuses our client certificate" in errors[1]


def test_an_alert_after_the_handshake_is_put_into_words() -> None:
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    failure = aiohttp.ClientOSError(*alert.args)
    failure.__cause__ = alert

    assert "may want a client certificate" in describe_failure(failure, "erp.example:443")


async def test_an_open_connection_with_a_client_certificate_serves_nobody_else(
    caller: HttpCaller, tmp_path: Path, authority: Authority, clients: Authority
) -> None:
    certificate, key = clients.issue("crossdock")
    known = TlsOptions(ca=authority.certificate, certificate=certificate, key=key)
    async with erp(tmp_path, authority, clients=clients.certificate) as system:
        first = await caller.call(REQUEST, connection_to(system, known))
        for n, tls in enumerate((TlsOptions(ca=authority.certificate), TlsOptions(verify=False))):
            other = await caller.call(REQUEST, connection_to(system, tls, f"con_{n}"))
            assert other.status is None

    assert first.status == 200
    assert len(system.requests) == 1


async def test_a_changed_connection_uses_its_new_certificates(
    caller: HttpCaller, tmp_path: Path, authority: Authority
) -> None:
    async with erp(tmp_path, authority) as system:
        good = connection_to(system, TlsOptions(ca=authority.certificate))
        bad = replace(good, revision=2, tls=TlsOptions(ca=Authority("Another CA").certificate))
        statuses = [(await caller.call(REQUEST, one)).status for one in (good, bad, replace(good, revision=3))]

    assert statuses == [200, None, 200]


async def test_a_redirect_to_another_origin_shows_no_client_certificate(
    caller: HttpCaller, tmp_path: Path, authority: Authority, clients: Authority
) -> None:
    certificate, key = clients.issue("crossdock")
    known = TlsOptions(ca=authority.certificate, certificate=certificate, key=key)
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    async with (
        erp(tmp_path, authority, clients=clients.certificate) as system,
        erp(other_folder, authority, clients=clients.certificate) as other,
    ):
        system.says("/", 302, Location=f"{other.url}/")
        report = await caller.call(REQUEST, connection_to(system, known, follow_redirects=True))

        assert report.status is None
        assert other.requests == []


async def test_an_unchecked_connection_still_checks_its_token_endpoint_elsewhere(
    caller: HttpCaller, tmp_path: Path, authority: Authority
) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    async with erp(tmp_path, authority) as system, erp(other_folder, authority) as sso:
        sso.at("/token", TokenEndpoint())
        client = OAuthClient("crossdock", "a client secret", f"{sso.url}/token")
        unchecked = connection_to(system, TlsOptions(verify=False), authentication=client)
        knowing = connection_to(system, TlsOptions(ca=authority.certificate), "con_2", authentication=client)

        refused = await caller.call(REQUEST, unchecked)
        fetched = await caller.call(REQUEST, knowing)

    assert "no access token" in (refused.error or "")
    assert "certificate" in (refused.error or "")
    assert fetched.status == 200


@pytest.mark.parametrize("leaf", ["certificate", "key"])
def test_half_a_client_certificate_is_refused(clients: Authority, leaf: str) -> None:
    certificate, key = clients.issue()
    half = TlsOptions(certificate=certificate) if leaf == "certificate" else TlsOptions(key=key)

    with pytest.raises(TlsUnusable, match="needs its"):
        own_context(half)


def test_certificates_that_can_not_be_used_are_refused_in_words(clients: Authority) -> None:
    certificate, key = clients.issue()
    _, other_key = clients.issue()
    _, locked = clients.issue(passphrase=b"opensesame")
    cases = [
        (TlsOptions(ca="nonsense"), "private CA can't be read"),
        (TlsOptions(ca=""), "private CA can't be read"),
        (TlsOptions(ca=key), "private CA can't be read"),
        (TlsOptions(ca="ü"), "private CA can't be read"),
        (TlsOptions(certificate=certificate, key=other_key), "does not belong"),
        (TlsOptions(certificate=certificate, key=locked), "passphrase"),
        (TlsOptions(certificate="nonsense", key=key), "can't be read"),
        (TlsOptions(certificate=certificate, key="nonsense"), "can't be read"),
        (TlsOptions(certificate="", key=""), "can't be read"),
    ]

    for options, words in cases:
        with pytest.raises(TlsUnusable, match=words) as refusal:
            own_context(options)
        assert key not in str(refusal.value)
    with pytest.raises(TlsUnusable, match="private CA can't be read"):
        other_context(TlsOptions(ca="nonsense"))


def test_a_private_key_leaves_no_file_behind(
    clients: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    certificate, key = clients.issue()

    own_context(TlsOptions(certificate=certificate, key=key))

    assert list(tmp_path.iterdir()) == []


def test_contexts_are_kept_for_each_revision_and_bounded(authority: Authority) -> None:
    cache = TlsCache()
    connection = HttpConnection("con_1", 1, "ERP", "https://erp.example", tls=TlsOptions(verify=False))

    first = cache.own(connection)

    assert cache.own(connection) is first
    assert cache.own(replace(connection, revision=2)) is not first
    assert cache.own(replace(connection, tls=TlsOptions())) is None
    assert cache.other(connection) is None
    for n in range(MAX_CONTEXTS + 10):
        cache.own(replace(connection, id=f"con_{n}"))
    assert len(cache._made) == MAX_CONTEXTS
