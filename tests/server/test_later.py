"""The application that is made beside the first calls."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from crossdock.server.later import Later

Sent = list[Any]


async def call(app: Later, path: str) -> Sent:
    """What the application behind it sends."""
    sent: Sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody asked for a body")

    await app({"path": path}, receive, send)
    return sent


async def tell_path(scope: Any, _receive: Any, send: Any) -> None:
    await send(scope["path"])


async def test_calls_wait_until_it_is_made_once_and_the_loop_goes_on() -> None:
    goes_on = threading.Event()
    makers: list[threading.Thread] = []

    def make() -> Any:
        makers.append(threading.current_thread())
        assert goes_on.wait(5)
        return tell_path

    later = Later(make)
    calls = [asyncio.create_task(call(later, path)) for path in ("/a", "/b")]
    loading = asyncio.create_task(later.load())
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in (*calls, loading))
    goes_on.set()
    assert await asyncio.gather(*calls) == [["/a"], ["/b"]]
    assert await loading is tell_path
    assert len(makers) == 1
    assert makers[0] is not threading.main_thread()


async def test_a_caller_who_leaves_does_not_stop_it() -> None:
    goes_on = threading.Event()

    def make() -> Any:
        goes_on.wait(5)
        return tell_path

    later = Later(make)
    left = asyncio.create_task(call(later, "/a"))
    await asyncio.sleep(0.01)
    left.cancel()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await call(later, "/b") == ["/b"]


async def test_what_making_it_raises_reaches_whoever_waits() -> None:
    def make() -> Any:
        raise ImportError("a package is missing")

    later = Later(make)
    with pytest.raises(ImportError, match="a package is missing"):
        await later.load()
    with pytest.raises(ImportError, match="a package is missing"):
        await call(later, "/a")


def test_a_start_does_not_wait_for_the_api() -> None:
    look = "import sys, crossdock.compose; print([n for n in sys.modules if n in ('fastapi', 'crossdock.api')])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
