"""Drafts of workflows through their use cases."""

from __future__ import annotations

import asyncio

import pytest

from crossdock.model.errors import Conflict, Forbidden, Invalid, NotFound
from tests.manage.conftest import Desk, steps, trigger, wrong

BROKEN = {"steps": [{"id": "a", "transfrom": {}}]}


@pytest.fixture
async def orders(desk: Desk) -> str:
    created = await desk.integrations.create(desk.alice, trigger(workflow=steps("a")))
    return str(created["id"])


async def test_a_draft_is_kept_and_counts_for_nothing(desk: Desk, orders: str) -> None:
    saved = await desk.drafts.save(desk.alice, orders, steps("b"))

    assert saved == await desk.drafts.show(desk.charlie, orders)
    assert (saved["document"], saved["based_on"], saved["published_version"]) == (steps("b"), 1, 1)
    assert (saved["updated_by"], saved["problems"]) == ("alice", [])
    assert (await desk.workflows.current(desk.charlie, orders))["document"] == steps("a")


async def test_a_draft_that_does_not_compile_is_kept_with_its_problems_and_not_published(
    desk: Desk, orders: str
) -> None:
    saved = await desk.drafts.save(desk.alice, orders, BROKEN)

    assert [problem["field"] for problem in saved["problems"]] == ["workflow.steps[0].transfrom"]
    with pytest.raises(Invalid) as error:
        await desk.drafts.publish(desk.alice, orders)
    assert list(wrong(error)) == ["workflow.steps[0].transfrom"]
    assert (await desk.drafts.show(desk.alice, orders))["document"] == BROKEN


async def test_a_published_draft_is_the_next_version_and_gone(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))

    published = await desk.drafts.publish(desk.alice, orders)

    assert (published["number"], published["document"], published["created_by"]) == (2, steps("b"), "alice")
    assert desk.catalog.snapshot.by_id[orders].integration.workflow_number == 2
    with pytest.raises(NotFound):
        await desk.drafts.show(desk.alice, orders)


async def test_a_draft_like_the_published_version_makes_no_version(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("a"))

    assert (await desk.drafts.publish(desk.alice, orders))["number"] == 1
    with pytest.raises(NotFound):
        await desk.drafts.show(desk.alice, orders)


async def test_a_draft_does_not_hide_what_others_published_meanwhile(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))
    await desk.workflows.put(desk.alice, orders, steps("c"))

    with pytest.raises(Conflict, match="version 2 is published by now"):
        await desk.drafts.publish(desk.alice, orders)

    assert (await desk.drafts.publish(desk.alice, orders, force=True))["number"] == 3


async def test_a_draft_may_be_based_anew(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))
    await desk.workflows.put(desk.alice, orders, steps("c"))

    await desk.drafts.save(desk.alice, orders, steps("c", "b"), based_on=2)

    assert (await desk.drafts.publish(desk.alice, orders))["document"] == steps("c", "b")


@pytest.mark.parametrize("number", [7, -1, 2**40])
async def test_a_draft_is_based_on_a_version_that_is_there(desk: Desk, orders: str, number: int) -> None:
    with pytest.raises(Invalid) as error:
        await desk.drafts.save(desk.alice, orders, steps("b"), based_on=number)

    assert list(wrong(error)) == ["based_on"]


async def test_nobody_overwrites_what_he_has_not_read(desk: Desk, orders: str) -> None:
    first = await desk.drafts.save(desk.alice, orders, steps("b"), revision=0)
    second = await desk.drafts.save(desk.alice, orders, steps("c"), revision=first["revision"])

    for attempt in (
        desk.drafts.save(desk.alice, orders, steps("d"), revision=first["revision"]),
        desk.drafts.save(desk.alice, orders, steps("d"), revision=0),
        desk.drafts.publish(desk.alice, orders, revision=first["revision"]),
        desk.drafts.discard(desk.alice, orders, revision=first["revision"]),
    ):
        with pytest.raises(Conflict):
            await attempt
    assert await desk.drafts.show(desk.alice, orders) == second


async def test_a_new_draft_has_a_revision_that_no_earlier_one_had(desk: Desk, orders: str, clock) -> None:
    old = await desk.drafts.save(desk.alice, orders, steps("b"))
    await desk.drafts.discard(desk.alice, orders)
    clock.advance(1)
    new = await desk.drafts.save(desk.alice, orders, steps("c"))

    assert new["revision"] > old["revision"]
    with pytest.raises(Conflict):
        await desk.drafts.save(desk.alice, orders, steps("d"), revision=old["revision"])


async def test_of_two_who_save_at_once_one_is_told(desk: Desk, orders: str) -> None:
    begun = await desk.drafts.save(desk.alice, orders, steps("b"))

    ends = await asyncio.gather(
        *(desk.drafts.save(desk.alice, orders, steps(one), revision=begun["revision"]) for one in ("c", "d")),
        return_exceptions=True,
    )

    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "dict"]


async def test_of_two_who_publish_at_once_one_is_told_and_there_is_one_version(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))

    ends = await asyncio.gather(*(desk.drafts.publish(desk.alice, orders) for _ in range(2)), return_exceptions=True)

    assert sorted(type(end).__name__ for end in ends) in (["Conflict", "dict"], ["NotFound", "dict"])
    assert len((await desk.workflows.versions(desk.alice, orders)).items) == 2
    assert len((await desk.workflows.publications(desk.alice, orders)).items) == 2


async def test_a_draft_published_beside_another_change_wins_or_is_told(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))

    published, put = await asyncio.gather(
        desk.drafts.publish(desk.alice, orders),
        desk.workflows.put(desk.alice, orders, steps("c")),
        return_exceptions=True,
    )

    told = [type(end) is dict for end in (published, put)]
    assert any(told)
    assert len((await desk.workflows.versions(desk.alice, orders)).items) == 1 + sum(told)


async def test_a_discarded_draft_is_gone(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))

    await desk.drafts.discard(desk.alice, orders)

    for attempt in (
        desk.drafts.show(desk.alice, orders),
        desk.drafts.discard(desk.alice, orders),
        desk.drafts.publish(desk.alice, orders),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_an_integration_goes_with_its_draft(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))

    await desk.integrations.delete(desk.alice, orders)

    with pytest.raises(NotFound):
        await desk.drafts.show(desk.alice, orders)


@pytest.mark.parametrize("document", [[], "steps", None, {"steps": [float("nan")]}, {"notes": "x" * 2_000_000}])
async def test_what_is_no_document_is_no_draft(desk: Desk, orders: str, document: object) -> None:
    with pytest.raises(Invalid):
        await desk.drafts.save(desk.alice, orders, document)


@pytest.mark.parametrize("who", ["bob", "charlie"])
async def test_only_an_admin_may_work_on_drafts(desk: Desk, orders: str, who: str) -> None:
    actor = getattr(desk, who)
    saved = await desk.drafts.save(desk.alice, orders, steps("b"))

    for attempt in (
        desk.drafts.save(actor, orders, steps("c")),
        desk.drafts.publish(actor, orders),
        desk.drafts.discard(actor, orders),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert await desk.drafts.show(actor, orders) == saved


async def test_drafts_of_another_workspace_do_not_exist(desk: Desk, orders: str) -> None:
    await desk.drafts.save(desk.alice, orders, steps("b"))

    for attempt in (
        desk.drafts.show(desk.dora, orders),
        desk.drafts.save(desk.dora, orders, steps("c")),
        desk.drafts.publish(desk.dora, orders),
        desk.drafts.discard(desk.dora, orders),
    ):
        with pytest.raises(NotFound):
            await attempt
