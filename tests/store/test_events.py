"""Lists of events stay bounded, whatever they are asked for."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, insert

from crossdock.model.event import Event, Request
from crossdock.model.states import RunState
from crossdock.model.time import SECOND, Instant
from crossdock.store import Store, schema
from crossdock.store.accept import Accept
from crossdock.store.configuration import ensure_workspace
from crossdock.store.event_search import SEARCH_WINDOW, count_events, list_events
from crossdock.store.events import EventFilter, first_id_at

NOW: Instant = 1_790_000_000 * SECOND


def _add_integration(connection: Connection, workspace_id: str, integration_id: str) -> None:
    values = {
        "id": integration_id,
        "workspace_id": workspace_id,
        "name": integration_id,
        "type": "webhook-trigger",
        "enabled": True,
        "path": integration_id,
        "document": "{}",
        "workflow_number": 0,
        "revision": 1,
        "created_at": NOW,
        "updated_at": NOW,
    }
    connection.execute(insert(schema.integration).values(values))


async def _receive(store: Store, integration_id: str, number: int, body: bytes = b"hay") -> str:
    received_at = NOW + number * 1_000
    request = Request("POST", "/hooks/default/x", (), (), "text/plain", body)
    event = Event(f"{first_id_at(received_at)}{number:020x}", integration_id, received_at, request)
    await store.submit(Accept(event, 0, finished=True))
    return event.id


async def _workspace(store: Store) -> str:
    workspace_id = await store.write(ensure_workspace, "wsp_1", "default", NOW)
    await store.write(_add_integration, workspace_id, "int_1")
    return workspace_id


async def test_a_rare_match_is_found_over_pages_that_may_be_empty(store: Store) -> None:
    workspace_id = await _workspace(store)
    needle = await _receive(store, "int_1", 0, b"needle")
    await asyncio.gather(*(_receive(store, "int_1", number) for number in range(1, SEARCH_WINDOW + 100)))
    wanted = EventFilter(search="needle")

    first = await store.read(list_events, workspace_id, wanted, limit=10)
    second = await store.read(list_events, workspace_id, wanted, limit=10, after=first.after)

    assert (first.lines, first.after is not None) == ([], True)
    assert ([line.id for line in second.lines], second.after) == ([needle], None)


async def test_frequent_matches_fill_each_page(store: Store) -> None:
    workspace_id = await _workspace(store)
    made = [await _receive(store, "int_1", number) for number in range(30)]
    wanted = EventFilter(integration_id="int_1", states=(RunState.SUCCEEDED,), received_after=NOW)

    found: list[str] = []
    after: str | None = None
    while True:
        page = await store.read(list_events, workspace_id, wanted, limit=7, after=after)
        found += [line.id for line in page.lines]
        after = page.after
        if after is None:
            break

    assert found == made[::-1]


async def test_characters_with_a_meaning_in_patterns_are_looked_for_as_they_are(store: Store) -> None:
    workspace_id = await _workspace(store)
    made = await _receive(store, "int_1", 0, b"50% of a_b 'c'")

    async def finds(text: str) -> bool:
        page = await store.read(list_events, workspace_id, EventFilter(search=text), limit=10)
        return [line.id for line in page.lines] == [made]

    assert await finds("50% of a_b 'c'")
    assert not await finds("50_")
    assert not await finds("aXb")


async def test_a_workspace_sees_its_own_events_only(store: Store) -> None:
    workspace_id = await _workspace(store)
    await _receive(store, "int_1", 0)
    other = await store.write(ensure_workspace, "wsp_2", "away", NOW)

    assert len((await store.read(list_events, workspace_id, EventFilter(), limit=10)).lines) == 1
    assert (await store.read(list_events, other, EventFilter(), limit=10)).lines == []


async def test_what_comes_to_others_is_not_in_the_way_and_not_told(store: Store) -> None:
    workspace_id = await _workspace(store)
    others = await store.write(ensure_workspace, "wsp_2", "others", NOW)
    await store.write(_add_integration, others, "int_0")
    await store.write(_add_integration, workspace_id, "int_2")
    mine = [await _receive(store, f"int_{1 + number % 2}", number) for number in range(12)]
    await asyncio.gather(*(_receive(store, "int_0", number) for number in range(20, SEARCH_WINDOW + 100)))

    found: list[str] = []
    after: str | None = None
    for _ in range(3):
        page = await store.read(list_events, workspace_id, EventFilter(), limit=5, after=after)
        found += [line.id for line in page.lines]
        after = page.after
    search = await store.read(list_events, workspace_id, EventFilter(search="hay"), limit=50)
    count = await store.read(count_events, workspace_id, EventFilter(search="hay"))

    assert (found, after) == (mine[::-1], None)
    assert ([line.id for line in search.lines], search.after, search.searched_until) == (mine[::-1], None, None)
    assert (count.count, count.is_exact) == (12, True)


async def test_a_workspace_without_integrations_looks_at_nothing(store: Store) -> None:
    await _workspace(store)
    empty = await store.write(ensure_workspace, "wsp_2", "empty", NOW)
    await _receive(store, "int_1", 1)

    page = await store.read(list_events, empty, EventFilter(), limit=5)

    assert (page.lines, page.after, page.looked_at, page.searched_until) == ([], None, 0, None)
