"""The root application: who answers which path, health, metrics, and the last resort."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from crossdock.server.app import Application, Parts, Readiness, may_read_metrics
from crossdock.server.forwarding import tell_true_client
from tests.server.wire import Reply, connected, serving


def naming(name: str) -> Any:
    """A part that answers with its name."""

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-part", name.encode())]})
        await send({"type": "http.response.body", "body": b""})

    return answer


async def ready() -> Readiness:
    return Readiness(True, {"store": "ok"})


async def not_ready() -> Readiness:
    return Readiness(False, {"store": "can't be reached"})


PARTS = Parts(
    ready=ready,
    metrics=lambda: b"crossdock_info 1\n",
    receive=naming("receive"),
    api=naming("api"),
    pages=naming("pages"),
    metrics_token="measure",
)


@pytest.fixture
async def port(anyio_backend: str) -> AsyncIterator[int]:
    async with serving(Application(PARTS)) as bound:
        yield bound


async def call(port: int, target: str, *fields: str, method: str = "GET") -> Reply:
    async with connected(port) as wire:
        await wire.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *fields, "", ""]).encode())
        return await wire.reply()


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("/hooks/default/a", "receive"),
        ("/status/evt_1", "receive"),
        ("/api/v1/events", "api"),
        ("/api", "api"),
        ("/", "pages"),
        ("/apiary", "pages"),
        ("/hooks", "pages"),
        ("/healthz/", "pages"),
    ],
)
async def test_a_path_leads_to_its_part(port: int, target: str, part: str) -> None:
    assert (await call(port, target)).headers["x-part"] == part


async def test_pages_and_api_are_told_to_load_nothing_from_elsewhere(port: int) -> None:
    for target in ("/", "/api/v1/events"):
        headers = (await call(port, target)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"

    assert "content-security-policy" not in (await call(port, "/hooks/default/a")).headers


async def test_health_readiness_and_metrics_are_told(port: int) -> None:
    assert (await call(port, "/healthz")).json == {"status": "ok"}
    assert (await call(port, "/readyz")).json == {"status": "ready", "checks": {"store": "ok"}}
    assert (await call(port, "/metrics")).body == b"crossdock_info 1\n"


async def test_a_node_that_can_not_work_says_so(anyio_backend: str) -> None:
    async with serving(Application(replace(PARTS, ready=not_ready))) as port:
        reply = await call(port, "/readyz")

    assert (reply.status, reply.json["checks"]) == (503, {"store": "can't be reached"})


async def test_metrics_are_only_read(port: int) -> None:
    reply = await call(port, "/metrics", method="POST")

    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


async def test_metrics_behind_a_proxy_need_the_token(port: int) -> None:
    forwarded = "X-Forwarded-For: 203.0.113.9"

    assert (await call(port, "/metrics", forwarded)).status == 403
    assert (await call(port, "/metrics", forwarded, "Authorization: Bearer wrong")).status == 403
    assert (await call(port, "/metrics", forwarded, "Authorization: Bearer measure")).status == 200


def test_metrics_are_not_told_to_other_machines() -> None:
    assert not may_read_metrics({"headers": [], "client": ("203.0.113.9", 1)}, "measure")
    assert not may_read_metrics({"headers": [(b"authorization", b"Bearer ")], "client": ("203.0.113.9", 1)}, None)
    assert may_read_metrics({"headers": [], "client": ("::1", 1)}, None)


async def test_a_fault_is_answered_500_with_an_id(anyio_backend: str) -> None:
    async def broken(scope, receive, send):
        raise ZeroDivisionError("inside")

    async with serving(Application(replace(PARTS, receive=broken, pages=broken))) as port:
        for target in ("/hooks/default/a", "/"):
            reply = await call(port, target)
            assert (reply.status, reply.json["type"]) == (500, "/problems/internal")
            assert reply.headers["x-frame-options"] == "DENY"
            assert b"inside" not in reply.body


async def test_a_part_that_this_node_lacks_is_404(anyio_backend: str) -> None:
    async with serving(Application(replace(PARTS, receive=None))) as port:
        assert (await call(port, "/hooks/default/a")).status == 404


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1"))


@pytest.mark.parametrize(
    ("peer", "chain", "caller"),
    [
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        ("203.0.113.9", ["6.6.6.6"], "203.0.113.9"),
        ("10.0.0.1", ["garbage"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)
def test_the_caller_is_the_last_address_that_nobody_trusted_wrote(peer: str, chain: list[str], caller: str) -> None:
    scope = {
        "client": (peer, 4711),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", part.encode()) for part in chain] + [(b"x-forwarded-proto", b"https")],
    }

    tell_true_client(scope, TRUSTED)

    assert scope["client"][0] == caller
    assert scope["scheme"] == ("http" if peer == "203.0.113.9" else "https")
