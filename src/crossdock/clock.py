"""Where now, chance and ids come from; handed to whoever needs them, so that tests can hold them still."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import uuid_utils

from crossdock.model.epoch import Epoch
from crossdock.model.gate import OPEN, Gate
from crossdock.model.time import Instant

Clock: TypeAlias = Callable[[], Instant]
Fraction: TypeAlias = Callable[[], float]


class Passage:
    """The gate of a node's side effects (`model.gate`): open while the node may act."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._confirmed = asyncio.Event()
        epoch.confirmed = self._confirmed.set

    def may_act(self) -> bool:
        return self._epoch.may_act()

    async def passage(self) -> None:
        """Return once this node may act. Whoever waits here is cancelled when the epoch ends."""
        while not self._epoch.may_act():
            self._confirmed.clear()
            await self._confirmed.wait()


@dataclass(frozen=True, slots=True)
class Sources:
    """What a stage is given because it must not decide it: the time, chance, which node it is part of, and whether that
    may act.
    """

    now: Clock
    fraction: Fraction
    epoch: Epoch
    gate: Gate = OPEN

    @property
    def node_id(self) -> str:
        """Which node this is at the moment: it changes when this node was taken for dead."""
        return self.epoch.node_id


def system_now() -> Instant:
    return time.time_ns() // 1_000


def system_monotonic() -> float:
    """Seconds that only grow, those of a suspended machine included."""
    return time.clock_gettime(_SUSPENSION_COUNTS)


_SUSPENSION_COUNTS: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


system_fraction: Fraction = random.random


def new_id(prefix: str) -> str:
    """`prefix` and a time-ordered UUIDv7 in hex, such as `evt_019aa5c8d2f47c2e9b1f3e6a7d8c9b0a`."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def new_token() -> str:
    """A fencing token: unique for every claim."""
    return uuid_utils.uuid4().hex
