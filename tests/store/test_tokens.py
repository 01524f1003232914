"""Rows of API tokens."""

from __future__ import annotations

import pytest

from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.store.tokens import TokenRow, add_token, all_tokens, delete_token, record_token_use, tokens_page
from tests.support.held import START

pytestmark = pytest.mark.anyio


def token(number: int, name: str = "", workspace_id: str = "wsp_1", workspace: str = "default") -> TokenRow:
    named = name or f"token {number}"
    return TokenRow(f"tok_{number}", workspace_id, workspace, named, "viewer", "hint", bytes([number]), START)


@pytest.fixture
async def tokens(store: Store) -> Store:
    await store.write(ensure_workspace, "wsp_1", "default", START)
    await store.write(ensure_workspace, "wsp_2", "away", START)
    return store


async def test_a_token_comes_back_with_its_workspace(tokens: Store) -> None:
    await tokens.write(add_token, token(1))

    assert await tokens.read(all_tokens) == [token(1)]


async def test_a_name_is_taken_once_in_a_workspace(tokens: Store) -> None:
    assert await tokens.write(add_token, token(1, "deploy"))
    assert not await tokens.write(add_token, token(2, "deploy"))
    assert await tokens.write(add_token, token(3, "deploy", "wsp_2", "away"))


async def test_a_token_is_listed_and_deleted_in_its_workspace_only(tokens: Store) -> None:
    await tokens.write(add_token, token(1))

    assert not await tokens.write(delete_token, "wsp_2", "tok_1")
    assert await tokens.read(tokens_page, "wsp_2", after_id=None, limit=5) == []
    assert await tokens.write(delete_token, "wsp_1", "tok_1")
    assert await tokens.read(all_tokens) == []


async def test_the_last_use_is_kept(tokens: Store) -> None:
    await tokens.write(add_token, token(1))

    await tokens.write(record_token_use, {"tok_1": START + 7, "tok_gone": START})

    assert [row.last_used_at for row in await tokens.read(all_tokens)] == [START + 7]
