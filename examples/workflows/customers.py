"""A stand-in for the system that keeps customers. Put calls of your own system in its place."""

from __future__ import annotations

import threading
from typing import Any

from crossdock.workflows import Stop

_customers: dict[str, dict[str, Any]] = {}
_answers: dict[str, dict[str, Any]] = {}
_lock = threading.Lock()


def store(customer: dict[str, Any], *, context: dict[str, Any]) -> dict[str, Any]:
    """Create or change the customer. The same key stores once, however often the step is tried."""
    if not customer["name"]:
        raise Stop("the customer has no name", kind="invalid_customer")
    with _lock:
        key = context["idempotency_key"]
        if key not in _answers:
            number = str(customer["number"])
            _answers[key] = {"id": f"C-{number}", "created": number not in _customers}
            _customers[number] = customer
        return _answers[key]
