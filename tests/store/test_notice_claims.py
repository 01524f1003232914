"""Claims of several webhooks at once: one answer for each, and nothing twice."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from crossdock.model.delivery import LeasedNotice
from crossdock.store import Store, schema
from crossdock.store.notice_deliveries import MOST_IN_LINE, NoticeClaim, shorten_lines
from tests.support.held import HeldClock
from tests.support.notices import ACTIVE, ERROR, WARNING, Board, a_change
from tests.support.replies import Ledger

NODE, OTHER_NODE = "node_1", "node_2"


@pytest.fixture
async def board(store: Store) -> Board:
    """Two webhooks that are told of everything."""
    made = Board(store, Ledger(store))
    for webhook_id in ("nwh_1", "nwh_2"):
        await made.webhook(webhook_id, filters={"statuses": ["warning", "error", "active"]})
    return made


async def claim(board: Board, *claims: NoticeClaim) -> list[list[LeasedNotice]]:
    return list(await board.store.write(NoticeClaim.record, claims))


async def test_each_webhook_gets_its_own(board: Board, clock: HeldClock) -> None:
    change = a_change(WARNING)
    await board.change(change, now=clock.now)

    claims = [NoticeClaim(one, NODE, (f"{one}-token",), clock.now) for one in ("nwh_2", "nwh_1")]
    answers = await claim(board, *claims)

    assert [[one.notice.webhook_id for one in answer] for answer in answers] == [["nwh_2"], ["nwh_1"]]
    assert [answer[0].lease_token for answer in answers] == ["nwh_2-token", "nwh_1-token"]
    assert answers[0][0].notice.changes == answers[1][0].notice.changes == (change,)


async def test_one_webhook_asked_for_twice_shares_what_there_is(board: Board, clock: HeldClock) -> None:
    for name in ("int_a", "int_b", "int_c"):
        await board.change(a_change(WARNING, integration_id=name), now=clock.now)

    claims = (
        NoticeClaim("nwh_1", NODE, ("a", "b"), clock.now),
        NoticeClaim("nwh_1", OTHER_NODE, ("c", "d"), clock.now),
    )
    first, second = await claim(board, *claims)

    assert [len(first), len(second)] == [2, 1]
    assert {one.notice.integration_id for one in (*first, *second)} == {"int_a", "int_b", "int_c"}
    assert {one.lease_token for one in (*first, *second)} == {"a", "b", "c"}


async def test_each_integration_has_a_line_of_its_own_at_each_webhook(board: Board, clock: HeldClock) -> None:
    for status, before in ((WARNING, ACTIVE), (ERROR, WARNING)):
        for name in ("int_a", "int_b"):
            await board.change(a_change(status, before, integration_id=name), now=clock.now)

    claims = [NoticeClaim(one, NODE, tuple(f"{one}-{n}" for n in range(9)), clock.now) for one in ("nwh_1", "nwh_2")]
    answers = await claim(board, *claims)

    told = [{(one.notice.integration_id, one.notice.changes[0].status) for one in answer} for answer in answers]
    assert told == [{("int_a", WARNING), ("int_b", WARNING)}] * 2


async def test_webhook_that_is_owed_nothing_gets_nothing(board: Board, clock: HeldClock) -> None:
    assert await claim(board, NoticeClaim("nwh_1", NODE, ("a",), clock.now)) == [[]]


async def test_of_a_long_line_the_newest_are_kept_and_what_is_being_tried(board: Board, clock: HeldClock) -> None:
    for number in range(MOST_IN_LINE + 5):
        status, before = (ERROR, ACTIVE) if number % 2 else (ACTIVE, ERROR)
        await board.change(a_change(status, before), now=clock.advance(61))
    ((first,),) = await claim(board, NoticeClaim("nwh_1", NODE, ("token",), clock.now))
    await board.change(a_change(WARNING, integration_id="int_b"), now=clock.now)

    assert await board.store.write(shorten_lines, clock.now, 3) == 3
    assert await board.store.write(shorten_lines, clock.now, 500) == 6
    assert await board.store.write(shorten_lines, clock.now, 500) == 0

    rows = await board.store.read(lambda c: c.execute(select(schema.delivery).order_by("created_at", "id")).all())
    mine = [row for row in rows if row.webhook_id == "nwh_1"]
    assert (mine[0].id, mine[0].state) == (first.id, "sending")
    assert [row.state for row in mine[1:5]] == ["canceled"] * 4
    assert {row.state for row in mine[5:]} == {"queued"}
    assert "newer ones took its place" in mine[1].last_error
