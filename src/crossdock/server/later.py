"""An application that is made beside the first calls, because making it takes long and most calls are for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crossdock.server.app import AsgiApp, Receive, Scope, Send


class Later:
    """Made in a thread when `load` is first awaited. Calls that come before it is there wait for it."""

    def __init__(self, make: Callable[[], AsgiApp]) -> None:
        self._make = make
        self._making: asyncio.Task[AsgiApp] | None = None

    async def load(self) -> AsgiApp:
        """The application; whatever making it raises."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        return await asyncio.shield(self._making)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = await self.load()
        await app(scope, receive, send)
