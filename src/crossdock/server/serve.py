"""The listening socket: starts and stops uvicorn's server inside the program's own event loop.

The program owns the loop and the signals; nothing here installs a handler. Stopping has two steps: `stop` accepts
nothing new and lets requests in flight finish up to a grace, `abort` ends that at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from uvicorn.lifespan.off import LifespanOff

from crossdock.model.errors import Misconfigured
from crossdock.server.app import AsgiApp
from crossdock.server.protocol import Limits, guarded_protocol

HANDSHAKE_SECONDS = 10.0
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens. `port` is the real one, also when any free port was asked for."""

    host: str
    port: int
    secure: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def _count_nothing(problem: str) -> None:
    """For servers whose refusals nobody counts."""


def _is_news(record: logging.LogRecord) -> bool:
    """Requests that were cut off at a stop are no faults; uvicorn would write a trace for each of them."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class WebServer:
    """One listening server for one application; it is started and stopped once."""

    def __init__(
        self, application: AsgiApp, *, limits: Limits | None = None, refused: Callable[[str], None] = _count_nothing
    ) -> None:
        """`refused` is told the kind of problem for every request that did not get as far as the application."""
        config = uvicorn.Config(
            application,
            http=guarded_protocol(limits or Limits(), refused),
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._config = config
        self._server = uvicorn.Server(config)
        self._server.lifespan = LifespanOff(config)
        self._clock: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Address:
        """Listen and answer from now on; `port` 0 takes a free one. Misconfigured when the address can't be had."""
        loop = asyncio.get_running_loop()
        handshake = HANDSHAKE_SECONDS if tls is not None else None
        try:
            listener = await loop.create_server(
                self._new_connection,
                host,
                port,
                ssl=tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=handshake,
            )
        except OSError as error:
            raise Misconfigured(_why_not_listening(host, port, error)) from None
        self._server.servers = [listener]
        self._server.started = True
        await self._server.on_tick(0)
        self._clock = asyncio.create_task(self._keep_date())
        bound = listener.sockets[0].getsockname()
        return Address(bound[0], bound[1], tls is not None)

    async def stop(self, grace: float) -> None:
        """Accept nothing more, let requests in flight finish within `grace` seconds, then cut off what is left."""
        if not self._server.started:
            return
        self._server.started = False
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
        for listener in self._server.servers:
            listener.close()
        for connection in list(self._server.server_state.connections):
            connection.shutdown()
        if not await self._is_quiet_within(grace):
            await self._cut_off()

    def abort(self) -> None:
        """End a `stop` that is under way: its grace is over now."""
        self._server.force_exit = True

    def _new_connection(self) -> asyncio.Protocol:
        make = self._config.http_protocol_class
        return make(config=self._config, server_state=self._server.server_state, app_state={})  # type: ignore[call-arg]

    async def _keep_date(self) -> None:
        """Renew the Date field, which every answer shares, each second."""
        while True:
            await asyncio.sleep(1.0)
            await self._server.on_tick(0)

    async def _is_quiet_within(self, grace: float) -> bool:
        """Wait until no connection and no request is left; False when `grace` or `abort` came first."""
        state = self._server.server_state
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while state.connections or state.tasks:
            if loop.time() >= end or self._server.force_exit:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _cut_off(self) -> None:
        state = self._server.server_state
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


def _why_not_listening(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another program; stop that one or choose another port (--port)."
    if error.errno == errno.EACCES:
        return f"Listening on port {port} is not allowed for this user; choose a port from 1024 on (--port)."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine has no address {host}; choose another one (--host), or 0.0.0.0 for all."
    return f"Can't listen on {host} port {port}: {error.strerror or error}."
