"""A stand-in for a price list."""

from __future__ import annotations

from typing import Any

_PRICES = {
    "BOLT-M8": [(1, 0.42), (100, 0.31), (1000, 0.22)],
    "NUT-M8": [(1, 0.11), (500, 0.07)],
}
_RATES = {"EUR": 1.0, "SEK": 11.25}


async def find(item: str, quantity: int, currency: str) -> dict[str, Any] | None:
    """The price of one piece when so many are bought; None when there is no such item."""
    steps = _PRICES.get(item)
    if steps is None:
        return None
    price = max((step for step in steps if step[0] <= quantity), key=lambda step: step[0])[1]
    return {"unit_price": round(price * _RATES[currency], 4)}
