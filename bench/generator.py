"""A load generator on raw sockets, for machines without wrk and for loads of a fixed rate.

Closed loop (no rate): each connection sends its next request when the last one is answered. Open loop (`--rate`):
requests are due at fixed moments, and their time is counted from the moment they were due, so that a stalled server
can't hide its delay (coordinated omission).

`python -m bench.generator FILE` takes its orders from a JSON file and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import uvloop

QUIET_SECONDS = 10.0
"""How long requests in flight may take after the end."""


@dataclass(slots=True)
class Seen:
    """What came back. `times` are seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    broken: int = 0
    unsent: int = 0
    """Requests that were due, and for which no connection was free until the end."""
    without_advice: int = 0
    """429 and 503 that did not say when to come again."""


class Connection(asyncio.Protocol):
    """One kept connection with at most one request in flight."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._load.is_free(self)

    def send(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._buffer = b""
        status = int(head[9:12])
        self._load.seen.statuses[status] += 1
        if status in (429, 503) and b"\r\nretry-after: " not in head.lower():
            self._load.seen.without_advice += 1
        self._load.seen.times.append(time.perf_counter() - self._due)
        self._load.is_free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.has_lost(self)


class Load:
    """Connections that are free, requests that are due, answers that are awaited."""

    def __init__(self, requests: list[bytes], *, rate: float | None) -> None:
        self.seen = Seen()
        self._requests = cycle(requests)
        self._rate = rate
        self._free: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._in_flight: set[Connection] = set()
        self._ended = False
        self._quiet = asyncio.Event()

    async def run(self, address: tuple[str, int], connections: int, seconds: float) -> float:
        """Make calls for `seconds`, then wait for the last answers; for how long calls were made, in seconds."""
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        opened = [await loop.create_connection(lambda: Connection(self), *address) for _ in range(connections)]
        if self._rate is None:
            await asyncio.sleep(seconds)
        else:
            await self._keep_rate(self._rate, seconds)
        self._ended = True
        self.seen.unsent = len(self._due)
        took = time.perf_counter() - started
        self._look_for_quiet()
        async with asyncio.timeout(QUIET_SECONDS):
            await self._quiet.wait()
        for transport, _ in opened:
            transport.close()
        return took

    def is_free(self, connection: Connection) -> None:
        self._in_flight.discard(connection)
        if self._ended:
            self._look_for_quiet()
        elif self._rate is None:
            self._send(connection, time.perf_counter())
        elif self._due:
            self._send(connection, self._due.popleft())
        else:
            self._free.append(connection)

    def has_lost(self, connection: Connection) -> None:
        if connection in self._in_flight:
            self.seen.broken += 1
            self._in_flight.discard(connection)
            self._look_for_quiet()

    async def _keep_rate(self, rate: float, seconds: float) -> None:
        started = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = started + number / rate
            pause = due - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            if self._free:
                self._send(self._free.popleft(), due)
            else:
                self._due.append(due)

    def _send(self, connection: Connection, due: float) -> None:
        self._in_flight.add(connection)
        connection.send(next(self._requests), due)

    def _look_for_quiet(self) -> None:
        if self._ended and not self._in_flight:
            self._quiet.set()


def request_bytes(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def carry_out(orders: dict[str, Any]) -> dict[str, Any]:
    paths = [orders["path"], *orders["more_paths"]]
    requests = [request_bytes(path, orders["headers"], body.encode()) for body in orders["bodies"] for path in paths]
    load = Load(requests, rate=orders["rate"])
    took = await load.run(("127.0.0.1", orders["port"]), orders["connections"], orders["seconds"])
    times = sorted(load.seen.times) or [0.0]
    good = sum(count for status, count in load.seen.statuses.items() if 200 <= status < 300)
    return {
        "seconds": took,
        "answered": sum(load.seen.statuses.values()),
        "good": good,
        "broken": load.seen.broken,
        "p50_ms": times[len(times) // 2] * 1_000,
        "p99_ms": times[int(len(times) * 0.99)] * 1_000,
        "statuses": {str(status): count for status, count in sorted(load.seen.statuses.items())},
        "unsent": load.seen.unsent,
        "without_advice": load.seen.without_advice,
    }


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    print(json.dumps(uvloop.run(carry_out(json.loads(Path(sys.argv[1]).read_text())))))
