"""The last question before a side effect: may this node still begin it?

Between the decision to do something and the deed there may be a wait: for a thread, a connection, an address. A process
that was suspended in that wait goes on where it stood, when others may have taken its work over long ago. So whoever
waits asks once more, as the very last thing.
"""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    def may_act(self) -> bool:
        """Whether a side effect may begin now. May be asked in any thread."""

    async def passage(self) -> None:
        """Return once it may. Whoever waits is cancelled when somebody else does the work by now."""


class _Open:
    def may_act(self) -> bool:
        return True

    async def passage(self) -> None:
        """It may."""


OPEN: Gate = _Open()
"""For a process that nobody can take anything over from."""
