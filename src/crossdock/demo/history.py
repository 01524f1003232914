"""A little history of the demo: some forty calls of its own hooks, once, through the door that everybody uses."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from aiohttp import ClientSession, ClientTimeout

from crossdock.demo.documents import INVOICES_PATH, PRICES_PATH, STOCK_PATH

LIMIT_SECONDS = 10.0
"""For each call: one that takes longer ends the history."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a hook. `body` is JSON; empty for a question."""

    path: str
    query: str = ""
    body: str = ""
    has_key: bool = True


def calls() -> Iterator[Call]:
    """The calls in their order, those of different integrations mixed, as on any day."""
    for number in range(8):
        for item in ("tea", "pot", "cup"):
            yield Call(PRICES_PATH, f"?item={item}&quantity={number + 1}")
        yield Call(STOCK_PATH, body=json.dumps({"sku": "tea", "quantity": 5 + number}))
        if number >= 4:
            quantity = 4000 if number == 4 else 4
            yield Call(STOCK_PATH, body=json.dumps({"sku": "pot", "quantity": quantity}))
        if number % 3 == 2:
            yield Call(INVOICES_PATH, body=json.dumps({"number": f"R-{2000 + number}"}))
    yield Call(PRICES_PATH, "?item=tea", has_key=False)


async def make_history(url: str, key: str, paths: Collection[str]) -> None:
    """Call the hooks at these paths of the server at `url`, one call after the other; aiohttp.ClientError and
    TimeoutError where it does not answer."""
    async with ClientSession(timeout=ClientTimeout(total=LIMIT_SECONDS)) as caller:
        for call in calls():
            if call.path in paths:
                await _make(caller, url, key, call)


async def _make(caller: ClientSession, url: str, key: str, call: Call) -> None:
    headers = {"X-API-Key": key} if call.has_key else {}
    address = f"{url}/hooks/default/{call.path}{call.query}"
    # This machine's own server: its certificate may be for a public name only.
    if call.body:
        headers["Content-Type"] = "application/json"
        answer = await caller.post(address, data=call.body, headers=headers, ssl=False)
    else:
        answer = await caller.get(address, headers=headers, ssl=False)
    answer.release()
