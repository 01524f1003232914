"""Functions for `python` steps of the seeded integrations."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

STOCK = {"tea": 40, "pot": 3, "cup": 0}


def reserve(sku: str, quantity: int) -> dict[str, Any]:
    """How many are set aside, and how many are left."""
    left = STOCK.get(sku, 0) - quantity
    return {"reserved": quantity if left >= 0 else 0, "left": max(left, 0)}


def count_stock(shelf: str) -> dict[str, Any]:
    """Takes until the file named by `GATE` is there, so that its event is seen while it runs."""
    while not Path(os.environ["GATE"]).exists():
        time.sleep(0.05)
    return {"shelf": shelf, "count": sum(STOCK.values())}
