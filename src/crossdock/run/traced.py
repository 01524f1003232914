"""A start of a run as a part of a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from crossdock.model.run import LeasedRun
from crossdock.run.settling import Ending
from crossdock.run.walk import LeaseLost, WalkPorts
from crossdock.tracing import RunTrace


async def perform_traced(
    trace: RunTrace, run: LeasedRun, ports: WalkPorts, perform: Callable[[LeasedRun, WalkPorts], Awaitable[Ending]]
) -> Ending:
    """Perform the run, and tell how its start ended: as it was judged here, before that was durable."""
    try:
        ending = await perform(run, replace(ports, trace=trace))
    except LeaseLost:
        trace.broken_off("lease_lost")
        raise
    except (Exception, asyncio.CancelledError):
        trace.broken_off("broken_off")
        raise
    trace.ended(ending.verdict)
    return ending
