"""What one turn of the event loop writes to a connection goes out as one piece.

The web server writes the head of an answer and its body one after the other, and the event loop sends each of them at
once. A send costs more than making a small answer: it wakes the other side.
"""

from __future__ import annotations

import asyncio
from typing import Any

GATHERED_BYTES = 64 * 1024
"""More than that is sent at once, so that the connection's own bounds on what waits to be sent are kept."""


class GatheringTransport:
    """Stands for `transport`; everything but writing and closing is its own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was written so far."""
        if not self._pieces:
            return
        pieces, self._pieces, self._size = self._pieces, [], 0
        if not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()
