"""Names to addresses, each address checked before anything is connected.

Lookups run on threads of their own: a name server that does not answer must hold up neither the database's threads nor
the lookups of other hosts. At most one lookup of a host runs at a time.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from ipaddress import ip_address
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from crossdock.outbound.guard import Guard, Target
from crossdock.outbound.ranges import Address

LOOKUP_THREADS = 32
REMEMBERED_SECONDS = 10.0
MAX_REMEMBERED = 1_024

Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host and port; OSError when there are none."""

calling: ContextVar[Target] = ContextVar("calling")
"""What this task is connecting to: aiohttp hands its hooks an address, and the guard judges it with host and scheme."""


class SystemLookup:
    """Asks the system, and remembers answers for a short time. It remembers addresses, never that they were allowed."""

    def __init__(self, remembered_seconds: float = REMEMBERED_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")
        self._remembered_seconds = remembered_seconds
        self._answers: dict[tuple[str, int], tuple[float, Sequence[Address]]] = {}
        self._running: dict[tuple[str, int], asyncio.Future[Sequence[Address]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        key = (host, port)
        known = self._answers.get(key)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        if key not in self._running:
            loop = asyncio.get_running_loop()
            self._running[key] = loop.run_in_executor(self._threads, _ask_system, host, port)
            self._running[key].add_done_callback(lambda answer: self._finish(key, answer))
        return await asyncio.shield(self._running[key])  # whoever gives up leaves the lookup to the others

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finish(self, key: tuple[str, int], answer: asyncio.Future[Sequence[Address]]) -> None:
        del self._running[key]
        if not answer.cancelled() and answer.exception() is None:
            if len(self._answers) >= MAX_REMEMBERED:
                self._answers.clear()
            self._answers[key] = (time.monotonic() + self._remembered_seconds, answer.result())


def _ask_system(host: str, port: int) -> Sequence[Address]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return tuple(dict.fromkeys(ip_address(row[4][0]) for row in rows))


class CheckedResolver(AbstractResolver):
    """Gives aiohttp the addresses of a name, all of them checked: one forbidden address refuses the name."""

    def __init__(self, guard: Guard, lookup: Lookup) -> None:
        self._guard = guard
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses to connect to; TargetRefused when one of them must not be called."""
        target = calling.get()
        addresses = await self._lookup(host, port)
        for address in addresses:
            self._guard.check_address(address, host=target.host, scheme=target.scheme)
        return [_resolved(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing is held here; the lookup belongs to the sender."""


def open_checked_socket(guard: Guard, address_info: tuple[object, ...]) -> socket.socket:
    """A socket for exactly this address. Literal addresses pass no resolver: this is where they are checked."""
    family, kind, protocol, _, peer = address_info
    target = calling.get()
    guard.check_address(ip_address(peer[0]), host=target.host, scheme=target.scheme)  # type: ignore[index]
    return socket.socket(family, kind, protocol)  # type: ignore[arg-type]


def _resolved(host: str, port: int, address: Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return ResolveResult(hostname=host, host=str(address), port=port, family=family, proto=0, flags=0)
