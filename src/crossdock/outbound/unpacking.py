"""Unpacking compressed answers while they come in, without ever holding more than what is wanted.

A kilobyte of gzip can unpack to a megabyte, so the size is judged on what comes out, piece by piece, and unpacking
stops at the limit. Source of the format: RFC 9110, 8.4.1; `deflate` is read with and without its zlib frame, because
servers send both.
"""

from __future__ import annotations

import zlib
from typing import Protocol

ACCEPTED = "gzip, deflate"
"""What is asked for with Accept-Encoding."""

_PIECE_BYTES = 256 * 1024
_MAX_MEMBERS = 1_000
"""A gzip file may be several in a row; more are no honest answer, and each costs a copy of what follows."""


class Unreadable(Exception):
    """The answer can't be used, and asking again would bring the same; the message says why."""


class BrokeOff(Exception):
    """The answer ended before its end."""


class Unpacker(Protocol):
    def feed(self, chunk: bytes, body: bytearray, limit: int) -> None:
        """Add what the chunk holds to `body`, which may become longer than `limit` by one piece at most."""

    def finish(self) -> None:
        """Nothing comes any more; BrokeOff when something is missing."""


def unpacker_for(content_encoding: str) -> Unpacker:
    """What unpacks answers with this Content-Encoding; Unreadable when nothing here does."""
    match content_encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Packed("gzip", zlib.MAX_WBITS | 16)
        case "deflate":
            return _Packed("deflate", zlib.MAX_WBITS)
        case other:
            raise Unreadable(f"the answer is packed as {other[:40]!r}, which was not asked for; {ACCEPTED} was")


class _Plain:
    def feed(self, chunk: bytes, body: bytearray, limit: int) -> None:
        body += chunk

    def finish(self) -> None:
        """What is not packed ends where it ends."""


class _Packed:
    def __init__(self, name: str, window_bits: int) -> None:
        self._name = name
        self._window_bits = window_bits
        self._stream = zlib.decompressobj(window_bits)
        self._members = 0
        self._received = 0

    def feed(self, chunk: bytes, body: bytearray, limit: int) -> None:
        self._judge_size(len(chunk), limit)
        try:
            self._unpack(chunk, body, limit)
        except zlib.error:
            raise Unreadable(f"the answer says that it is {self._name}, and can't be unpacked as that") from None

    def finish(self) -> None:
        if self._received and not self._stream.eof:
            raise BrokeOff

    def _judge_size(self, size: int, limit: int) -> None:
        """Packed bytes that unpack to nothing have to end as well."""
        self._received += size
        if self._received > limit + _PIECE_BYTES:
            raise Unreadable(f"the answer is longer than {limit} bytes, and packed at that")

    def _unpack(self, chunk: bytes, body: bytearray, limit: int) -> None:
        if self._name == "deflate" and self._received == len(chunk) and not _has_zlib_frame(chunk):
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        while True:
            if self._stream.eof:
                if not chunk or self._name == "deflate":
                    return  # what follows the end of a deflate answer has no meaning
                self._begin_member()
            room = min(_PIECE_BYTES, limit + 1 - len(body))
            piece = self._stream.decompress(chunk, room)
            body += piece
            chunk = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if len(body) > limit or (not chunk and len(piece) < room):
                return

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise Unreadable(f"the answer is packed in more than {_MAX_MEMBERS} pieces")
        self._stream = zlib.decompressobj(self._window_bits)


def _has_zlib_frame(beginning: bytes) -> bool:
    """Whether the bytes begin like a zlib stream (RFC 1950, 2.2) and not like raw deflate."""
    if len(beginning) < 2:
        return beginning[0] & 0x0F == 8
    return beginning[0] & 0x0F == 8 and (beginning[0] << 8 | beginning[1]) % 31 == 0
