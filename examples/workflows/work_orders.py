"""A stand-in for the system that keeps work orders."""

from __future__ import annotations

import threading
from typing import Any

from crossdock.workflows import Stop

_FOLLOWS = {
    "create": (None, "planned"),
    "start": ("planned", "started"),
    "report": ("started", "started"),
    "finish": ("started", "finished"),
}
_orders: dict[str, dict[str, Any]] = {}
_done: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()


def apply(number: str, action: str, hours: float, *, context: dict[str, Any]) -> dict[str, Any]:
    """Move the work order on. Stops when the action does not follow from the order's state."""
    with _lock:
        key = context["idempotency_key"]
        if key in _done:
            return _done[key]
        order = _orders.get(number, {"state": None, "hours": 0.0})
        before, after = _FOLLOWS[action]
        if order["state"] != before:
            raise Stop(f"{action} can't follow: work order {number} is {order['state'] or 'not known'}", "wrong_state")
        _orders[number] = _done[key] = {"state": after, "hours": order["hours"] + hours}
        return _done[key]
