"""What a stage holds, beside what the store says that it holds."""

from __future__ import annotations

from collections.abc import Iterable


class HeldLeases:
    """The tokens of the leases that a stage works under.

    An answer that is lost with the connection to the database leaves work that is leased to this node without its
    knowledge: a *stray*, which nobody would do before the next start.
    """

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._suspects: frozenset[str] = frozenset()

    def add(self, token: str) -> None:
        self._tokens.add(token)

    def discard(self, token: str) -> None:
        self._tokens.discard(token)

    def __len__(self) -> int:
        return len(self._tokens)

    def strays(self, leased: Iterable[str]) -> list[str]:
        """Which of the leases in the store are strays: those that were unknown here when this was asked before, too.

        Once is not enough: a lease is known milliseconds after it became durable, and the store was read before now.
        So this has to be asked seconds apart.
        """
        unknown = frozenset(leased) - self._tokens
        found = unknown & self._suspects
        self._suspects = unknown - found
        return sorted(found)
