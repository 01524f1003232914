"""The audit log: a row lands with its change or not at all, and is found again newest first."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from crossdock.model.time import SECOND, Instant
from crossdock.store import Store
from crossdock.store.audit import (
    AuditEntry,
    AuditFilter,
    audit_entry,
    audit_page,
    audit_stretch,
    audited,
    audited_with,
    forget_audit,
    record,
)
from crossdock.store.configuration import ensure_workspace
from crossdock.store.events import first_id_at
from crossdock.store.tokens import TokenRow, add_token, all_tokens, delete_token
from tests.support.held import START

pytestmark = pytest.mark.anyio

HOUR: Instant = 3_600 * SECOND
TOKEN = TokenRow("tok_1", "wsp_1", "default", "deploy", "viewer", "hint", b"1", START)


def entry(number: int, action: str = "token.created", **values: Any) -> AuditEntry:
    """The entry of the hour `number` after the start."""
    at = START + number * HOUR
    told: dict[str, Any] = {
        "subject_id": f"tok_{number}",
        "subject_name": f"deploy {number}",
        "after": {"role": "viewer"},
        **values,
    }
    actor_id = told.pop("actor_id", "usr_1")
    return AuditEntry(f"{first_id_at(at, 'aud')}{number:020}", "wsp_1", at, actor_id, "alice", action, **told)


@pytest.fixture
async def log(store: Store) -> Store:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    return store


async def found(log: Store, **wanted: Any) -> list[str]:
    """The subjects of the entries that match, newest first."""
    page = await log.read(audit_page, "wsp_1", AuditFilter(**wanted), limit=10)
    return [one.subject_id for one in page]


async def test_a_row_is_written_with_the_change_that_it_tells_of(log: Store) -> None:
    landed = await log.write(audited(add_token, lambda landed: entry(1) if landed else None), TOKEN)

    assert landed
    assert await log.read(audit_page, "wsp_1", AuditFilter(), limit=5) == [entry(1)]
    assert await log.read(audit_entry, "wsp_1", entry(1).id) == entry(1)


async def test_a_change_that_does_not_land_writes_no_row(log: Store) -> None:
    await log.write(add_token, TOKEN)

    assert not await log.write(audited(add_token, lambda landed: entry(1) if landed else None), TOKEN)
    assert await found(log) == []


async def test_a_row_that_can_not_be_written_undoes_its_change(log: Store) -> None:
    await log.write(lambda connection: connection.execute(text("DROP TABLE audit")))

    with pytest.raises(SQLAlchemyError):
        await log.write(audited(add_token, lambda _: entry(1)), TOKEN)
    assert await log.read(all_tokens) == []


async def test_a_row_tells_what_was_there_before_the_change(log: Store) -> None:
    await log.write(add_token, TOKEN)

    def tell(seen: list[TokenRow], landed: bool) -> AuditEntry | None:
        return entry(2, "token.revoked", before={"name": seen[0].name}, after=None) if landed else None

    assert await log.write(audited_with(all_tokens, delete_token, tell), "wsp_1", "tok_1")
    assert not await log.write(audited_with(all_tokens, delete_token, tell), "wsp_1", "tok_1")
    (told,) = await log.read(audit_page, "wsp_1", AuditFilter(), limit=5)
    assert (told.before, told.after) == ({"name": "deploy"}, None)


async def test_pages_go_from_the_newest_to_the_oldest(log: Store) -> None:
    await log.write(record, *(entry(number) for number in range(1, 6)))

    first = await log.read(audit_page, "wsp_1", AuditFilter(), limit=2)
    rest = await log.read(audit_page, "wsp_1", AuditFilter(), after_id=first[-1].id, limit=5)

    assert [one.subject_id for one in first + rest] == ["tok_5", "tok_4", "tok_3", "tok_2", "tok_1"]


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        ({"subject_id": "tok_2"}, ["tok_2"]),
        ({"actor_id": "usr_2"}, ["tok_3"]),
        ({"action": "token"}, ["tok_2", "tok_1"]),
        ({"action": "token.created"}, ["tok_1"]),
        ({"action": "tok"}, []),
        ({"search": "ALICE"}, ["tok_2", "tok_1"]),
        ({"search": "100%_sure"}, ["tok_3"]),
        ({"search": "%"}, ["tok_3"]),
        ({"since": START + 2 * HOUR}, ["tok_3", "tok_2"]),
        ({"until": START + 2 * HOUR}, ["tok_1"]),
        ({"since": START + 2 * HOUR, "until": START + 3 * HOUR}, ["tok_2"]),
    ],
    ids=str,
)
async def test_a_list_is_narrowed(log: Store, wanted: dict[str, Any], subjects: list[str]) -> None:
    bob = AuditEntry(
        entry(3).id, "wsp_1", entry(3).at, "usr_2", "bob", "tokenless.seen", "tok_3", "all", note="100%_sure"
    )
    await log.write(record, entry(1), entry(2, "token.revoked"), bob)

    assert await found(log, **wanted) == subjects


async def test_a_look_goes_so_far_and_the_next_one_goes_on(log: Store) -> None:
    for number in range(6):
        await log.write(record, entry(number, actor_id="usr_2" if number == 0 else "usr_1"))
    wanted = AuditFilter(actor_id="usr_2")

    end = await log.read(audit_stretch, "wsp_1", wanted, most=4)
    first = await log.read(audit_page, "wsp_1", wanted, down_to=end, limit=10)
    rest = await log.read(audit_page, "wsp_1", wanted, after_id=end, limit=10)

    assert (end, first) == (entry(2).id, [])
    assert [one.subject_id for one in rest] == ["tok_0"]
    assert await log.read(audit_stretch, "wsp_1", wanted, after_id=end, most=4) is None


async def test_a_workspace_sees_only_its_own_entries(log: Store) -> None:
    await log.write(record, entry(1))

    assert await log.read(audit_page, "wsp_2", AuditFilter(), limit=5) == []
    assert await log.read(audit_entry, "wsp_2", entry(1).id) is None


async def test_old_entries_are_forgotten_in_bites(log: Store) -> None:
    await log.write(record, *(entry(number) for number in range(1, 6)))

    assert await log.write(forget_audit, START + 4 * HOUR, 2) == 2
    assert await log.write(forget_audit, START + 4 * HOUR, 2) == 1
    assert await found(log) == ["tok_5", "tok_4"]
