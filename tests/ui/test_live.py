"""News for open pages."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.ui.conftest import Site


async def read_news(site: Site, who: str) -> Any:
    """The first piece of news."""
    headers = {"Cookie": f"crossdock={site.cookies[who]}", "Accept": "text/event-stream"}
    async with site.session.get(f"{site.url}/w/default/live", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.content:
            if line.startswith(b"data: "):
                return json.loads(line[6:])
    return None


async def test_an_open_page_hears_of_new_events(site: Site):
    made = await site.cases.integrations.create(
        site.actor(), {"name": "Orders", "type": "webhook-trigger", "status": "enabled"}
    )
    reading = asyncio.ensure_future(read_news(site, "charlie"))
    await asyncio.wait_for(site.cases.live.has_looked.wait(), 10)

    await site.story.succeed(made["id"])

    news = await asyncio.wait_for(reading, 10)
    assert made["id"] in news["traffic"] or news["configuration_changed"]
    await site.cases.live.stop()


@pytest.mark.parametrize(("who", "status"), [("", 303), ("dora", 404)])
async def test_others_hear_nothing(site: Site, who: str, status: int):
    assert (await site.open("/w/default/live", who=who)).status == status
