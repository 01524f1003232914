"""Workflow versions through their use cases."""

from __future__ import annotations

import pytest

from crossdock.model.errors import Forbidden, Invalid, NotFound
from tests.manage.conftest import Desk, steps, trigger, wrong

pytestmark = pytest.mark.anyio


@pytest.fixture
async def orders(desk: Desk) -> str:
    return str((await desk.integrations.create(desk.alice, trigger()))["id"])


async def test_without_a_workflow_there_are_no_steps(desk: Desk, orders: str) -> None:
    current = await desk.workflows.current(desk.charlie, orders)

    assert (current["number"], current["document"]) == (0, {"steps": []})
    assert await desk.catalog.workflow(orders, 0) == {"steps": []}


async def test_a_put_workflow_is_the_next_version_and_published(desk: Desk, orders: str) -> None:
    await desk.workflows.put(desk.alice, orders, steps("a"))

    put = await desk.workflows.put(desk.alice, orders, steps("b"))

    assert (put["number"], put["published"], put["created_by"]) == (2, True, "alice")
    assert put == await desk.workflows.current(desk.charlie, orders)
    assert desk.catalog.snapshot.by_id[orders].integration.workflow_number == 2
    assert await desk.catalog.workflow(orders, 1) == steps("a")


async def test_an_older_version_can_be_published_again(desk: Desk, orders: str) -> None:
    for one in ("a", "b"):
        await desk.workflows.put(desk.alice, orders, steps(one))

    published = await desk.workflows.publish(desk.alice, orders, 1)
    after = await desk.workflows.put(desk.alice, orders, steps("c"))

    assert (published["number"], published["published"]) == (1, True)
    assert after["number"] == 3


async def test_versions_are_listed_newest_first(desk: Desk, orders: str) -> None:
    for one in ("a", "b", "c"):
        await desk.workflows.put(desk.alice, orders, steps(one))

    first = await desk.workflows.versions(desk.charlie, orders, limit=2)
    second = await desk.workflows.versions(desk.charlie, orders, limit=2, cursor=first.next)

    found = [(version["number"], version["published"]) for version in (*first.items, *second.items)]
    assert found == [(3, True), (2, False), (1, False)]


async def test_a_workflow_that_does_not_compile_is_refused_and_the_old_one_stays(desk: Desk, orders: str) -> None:
    await desk.workflows.put(desk.alice, orders, steps("a"))

    with pytest.raises(Invalid) as error:
        await desk.workflows.put(desk.alice, orders, {"steps": [{"id": "a", "transfrom": {}}]})

    assert list(wrong(error)) == ["workflow.steps[0].transfrom"]
    assert (await desk.workflows.current(desk.charlie, orders))["number"] == 1


@pytest.mark.parametrize("number", [0, 2, -1, 2**40])
async def test_a_version_that_is_not_there_is_not_found(desk: Desk, orders: str, number: int) -> None:
    await desk.workflows.put(desk.alice, orders, steps("a"))

    with pytest.raises(NotFound):
        await desk.workflows.version(desk.charlie, orders, number)
    with pytest.raises(NotFound):
        await desk.workflows.publish(desk.alice, orders, number)


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_an_admin_may_change_workflows(desk: Desk, orders: str, who: str) -> None:
    actor = getattr(desk, who)
    await desk.workflows.put(desk.alice, orders, steps("a"))

    with pytest.raises(Forbidden):
        await desk.workflows.put(actor, orders, steps("b"))
    with pytest.raises(Forbidden):
        await desk.workflows.publish(actor, orders, 1)

    assert (await desk.workflows.version(actor, orders, 1))["document"] == steps("a")


async def test_workflows_of_another_workspace_do_not_exist(desk: Desk, orders: str) -> None:
    await desk.workflows.put(desk.alice, orders, steps("a"))

    for attempt in (
        desk.workflows.current(desk.dora, orders),
        desk.workflows.versions(desk.dora, orders),
        desk.workflows.version(desk.dora, orders, 1),
        desk.workflows.put(desk.dora, orders, steps("b")),
        desk.workflows.publish(desk.dora, orders, 1),
    ):
        with pytest.raises(NotFound):
            await attempt
