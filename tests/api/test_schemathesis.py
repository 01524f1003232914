"""The API against its own description: generated requests, good and bad, and what is promised about the answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from crossdock.api import create_api
from crossdock.api.describing import describe
from crossdock.store import open_store
from tests.api.conftest import serving_api
from tests.support.held import HeldClock

EXAMPLES = 12
LIMIT_SECONDS = 60.0

# What a template, a name or a path may be is more than a schema can say.
BEYOND_SCHEMAS = [positive_data_acceptance]


class Running:
    """An API on an event loop of its own: the generator of requests is no coroutine."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with open_store(f"sqlite:///{self._database}") as store, serving_api(store, HeldClock()) as api:
            made = await api.make(trigger={"ordered_delivery": True})
            await api.story.succeed(made["id"], reply="dlv_1")
            await api.story.receive(made["id"], lane="")
            self.url, self.token = api.url, api.tokens["alice"]
            self._started.set()
            await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(LIMIT_SECONDS)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_SECONDS)
        self._loop.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    api = Running(tmp_path_factory.mktemp("schemathesis") / "crossdock.db")
    api.start()
    yield api
    api.stop()


# Read from the code, not from the running API: each route is a test of its own then.
schema = schemathesis.openapi.from_dict(describe(create_api(None)))  # type: ignore[arg-type]


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(case: Any, running: Running) -> None:
    case.call_and_validate(
        base_url=running.url,
        headers={"Authorization": f"Bearer {running.token}"},
        excluded_checks=BEYOND_SCHEMAS,
    )
