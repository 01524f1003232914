"""What `--demo` adds works, and may be started again and again."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from crossdock.catalog import Catalog
from crossdock.clock import system_now
from crossdock.demo import NAME, ORDER, PATH, Demo
from crossdock.demo.documents import documents
from crossdock.demo.history import calls
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply
from crossdock.manage.documents import Rules
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.keys import KeyPorts, Keys
from crossdock.model.outcome import Json
from crossdock.outbound.guard import Guard
from crossdock.run.compile import compile_workflow
from crossdock.settings import load_settings
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.vault import Vault
from tests.support.connections import connections_of
from tests.support.webhooks import webhooks_of

REPLY = {"id": "evt_1", "status": "succeeded", "result": {"status": 200, "headers": {}, "body": {"total": 28}}}


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(load_settings({"data": tmp_path, "port": 0}), say=lambda line: None)


@pytest.mark.parametrize("shown", documents("http://127.0.0.1:1/replies"), ids=lambda shown: shown["spec"]["name"])
def test_the_example_workflows_compile(shown: Json) -> None:
    assert compile_workflow(shown["spec"]["workflow"]).is_quick


def test_the_history_is_short_and_leaves_the_shown_call_to_the_newcomer() -> None:
    paths = {document["spec"]["path"] for document in documents("http://127.0.0.1:1/replies")}

    assert {call.path for call in calls()} == paths - {PATH}
    assert len(list(calls())) <= 50


def test_the_key_stays_the_same(demo: Demo) -> None:
    assert demo.key == demo.key
    assert demo.key in demo.curl("http://127.0.0.1:8420")
    assert json.loads(ORDER)["number"] == "A-1001"


async def test_setting_it_up_twice_makes_each_integration_once_with_one_key(demo: Demo, store: Store) -> None:
    home = await store.write(ensure_workspace, "wsp_home", "default", system_now())
    actor = Actor("demo", home, "default", "admin")
    catalog = Catalog(store, Vault([bytes(32)]))
    rules = Rules(compile_workflow, Guard(demo.allowed_networks).check_url)
    integrations = Integrations(IntegrationPorts(store, Vault([bytes(32)]), catalog, rules, system_now))
    keys = Keys(KeyPorts(store, catalog, system_now))
    vault = Vault([bytes(32)])
    connections = connections_of(store, vault, catalog, system_now)
    apply = Apply(integrations, connections, webhooks_of(store, vault, catalog, system_now))

    await demo.start()
    await demo.set_up(apply, integrations, keys, actor)
    await demo.set_up(apply, integrations, keys, actor)
    await demo.stop()

    made = {each["name"]: each for each in (await integrations.page(actor)).items}
    assert len(made) == len(documents(demo.sink_url))
    assert made[NAME]["reply"]["url"] == demo.sink_url
    assert [len((await keys.page(actor, each["id"])).items) for each in made.values()] == [1] * len(made)


async def test_the_sink_says_and_keeps_replies(tmp_path: Path, anyio_backend: str) -> None:
    said: list[str] = []
    demo = Demo(load_settings({"data": tmp_path, "port": 0}), say=said.append)
    await demo.start()

    async with aiohttp.ClientSession() as caller:
        taken = await caller.post(demo.sink_url, json=REPLY)
        refused = await caller.post(demo.sink_url, data=b"no reply")
        kept = await (await caller.get(demo.sink_url.removesuffix("replies"))).json()
    await demo.stop()

    assert (taken.status, refused.status) == (204, 400)
    assert said == ['reply evt_1 succeeded: {"total": 28}']
    assert [entry["reply"] for entry in kept] == [REPLY]


async def test_a_taken_port_is_no_obstacle(tmp_path: Path, anyio_backend: str) -> None:
    first = Demo(load_settings({"data": tmp_path, "port": 0}), say=lambda line: None)
    await first.start()
    port = int(first.sink_url.rsplit(":", 1)[1].split("/")[0])
    second = Demo(load_settings({"data": tmp_path, "port": port - 1}), say=lambda line: None)

    await second.start()

    assert second.sink_url != first.sink_url
    await first.stop()
    await second.stop()
