"""The tracer that the settings ask for."""

from __future__ import annotations

import random

from crossdock.clock import Clock
from crossdock.model.errors import Misconfigured
from crossdock.observe import Observe
from crossdock.tracing.tracer import Tracer


def open_tracer(traces: str, node_id: str, observe: Observe, *, clock: Clock) -> Tracer | None:
    """None where no traces are asked for; Misconfigured when they can't be sent as they are asked for.

    `traces` is the setting: `none` or `otlp`. Where spans go, and which ones, is said by the OTEL_ variables of the
    OpenTelemetry SDK, which are the same for every program of an installation.
    """
    if traces == "none":
        return None
    try:
        from crossdock.tracing.otlp import open_sink
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"setting traces '{traces}': it needs OpenTelemetry, and {missing.name} is not installed. Install it with"
            " pip install 'crossdock[otel]', or set traces to none"
        ) from None
    sink = open_sink(node_id, observe)
    return None if sink is None else Tracer(sink, clock=clock, random_bits=random.getrandbits)
