"""Workflow versions through their use cases."""

from __future__ import annotations

import pytest

from crossdock.manage.documents import Rules
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.workflows import Workflows
from crossdock.model.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from crossdock.model.time import format_instant
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


async def publish_all(desk: Desk, integration_id: str, *ids: str) -> None:
    """A version with one step for each id, published one after the other."""
    for one in ids:
        await desk.workflows.put(desk.alice, integration_id, steps(one))


async def test_rolling_back_goes_back_and_not_to_and_fro(desk: Desk, orders: str) -> None:
    await publish_all(desk, orders, "a", "b", "c")

    numbers = [(await desk.workflows.roll_back(desk.alice, orders))["number"] for _ in range(2)]

    assert numbers == [2, 1]
    with pytest.raises(Conflict, match="no other version was published before"):
        await desk.workflows.roll_back(desk.alice, orders)
    assert desk.catalog.snapshot.by_id[orders].integration.workflow_number == 1


async def test_what_is_published_after_a_rollback_rolls_back_to_it(desk: Desk, orders: str) -> None:
    await publish_all(desk, orders, "a", "b")
    await desk.workflows.roll_back(desk.alice, orders)
    await publish_all(desk, orders, "c")

    assert (await desk.workflows.roll_back(desk.alice, orders))["number"] == 1


async def test_a_workflow_that_was_taken_away_can_be_rolled_back_to(desk: Desk, orders: str) -> None:
    await publish_all(desk, orders, "a")
    await desk.integrations.change(desk.alice, orders, {"workflow": None})

    assert (await desk.workflows.roll_back(desk.alice, orders))["number"] == 1


async def test_publications_tell_who_made_what_count_and_when(desk: Desk, orders: str, clock) -> None:
    await publish_all(desk, orders, "a", "b")
    await desk.workflows.publish(desk.alice, orders, 1)
    await desk.workflows.publish(desk.alice, orders, 1)
    await desk.workflows.roll_back(desk.alice, orders)

    first = await desk.workflows.publications(desk.charlie, orders, limit=3)
    second = await desk.workflows.publications(desk.charlie, orders, cursor=first.next)

    told = [(one["number"], one["rolled_back"]) for one in (*first.items, *second.items)]
    assert told == [(2, True), (1, False), (2, False), (1, False)]
    assert {one["published_by"] for one in first.items} == {"alice"}
    assert first.items[0]["published_at"] == format_instant(clock())


async def test_a_rename_is_no_publication(desk: Desk, orders: str) -> None:
    await publish_all(desk, orders, "a")

    await desk.integrations.change(desk.alice, orders, {"name": "Sales"})

    assert len((await desk.workflows.publications(desk.charlie, orders)).items) == 1


async def test_a_version_that_compiles_no_more_is_not_rolled_back_to(desk: Desk, orders: str) -> None:
    await publish_all(desk, orders, "a", "b")
    strict = IntegrationPorts(
        desk.store, desk.vault, desk.catalog, Rules(refuse, lambda url: None), lambda: 0, "https://hooks.example"
    )

    with pytest.raises(Invalid):
        await Workflows(strict, Integrations(strict)).roll_back(desk.alice, orders)

    assert (await desk.workflows.current(desk.alice, orders))["number"] == 2


def refuse(*_: object, **__: object) -> object:
    raise Invalid("gone", (FieldError("workflow.steps[0].python.function", "there is no module 'work'"),))


async def test_differences_are_told_between_numbers_the_draft_and_what_is_published(desk: Desk, orders: str) -> None:
    await publish_all(desk, orders, "a", "b")
    await desk.drafts.save(desk.alice, orders, steps("b", "c"))

    found = await desk.workflows.differences(desk.charlie, orders, "published", "draft")
    older = await desk.workflows.differences(desk.charlie, orders, "1", "2")
    none = await desk.workflows.differences(desk.charlie, orders, "0", "2")

    assert (found["from"], found["to"]) == ("version 2", "draft")
    assert [(one["change"], one["path"]) for one in found["steps"]] == [("added", "c")]
    assert [(one["change"], one["path"]) for one in older["steps"]] == [("added", "b"), ("removed", "a")]
    assert (none["from"], [one["path"] for one in none["steps"]]) == ("no workflow", ["b"])


@pytest.mark.parametrize(
    ("which", "error"), [("draft", NotFound), ("9", NotFound), ("99999999999", Invalid), ("latest", Invalid)]
)
async def test_a_version_to_compare_with_has_to_be_there(desk: Desk, orders: str, which: str, error: type) -> None:
    with pytest.raises(error):
        await desk.workflows.differences(desk.charlie, orders, "published", which)


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
    with pytest.raises(Forbidden):
        await desk.workflows.roll_back(actor, orders)

    assert (await desk.workflows.version(actor, orders, 1))["document"] == steps("a")


async def test_workflows_of_another_workspace_do_not_exist(desk: Desk, orders: str) -> None:
    await desk.workflows.put(desk.alice, orders, steps("a"))

    for attempt in (
        desk.workflows.current(desk.dora, orders),
        desk.workflows.versions(desk.dora, orders),
        desk.workflows.version(desk.dora, orders, 1),
        desk.workflows.put(desk.dora, orders, steps("b")),
        desk.workflows.publish(desk.dora, orders, 1),
        desk.workflows.roll_back(desk.dora, orders),
        desk.workflows.publications(desk.dora, orders),
        desk.workflows.differences(desk.dora, orders, "1", "1"),
        desk.workflows.document_of(desk.dora, orders, "published"),
    ):
        with pytest.raises(NotFound):
            await attempt
