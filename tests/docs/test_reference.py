"""The reference says what the program has, no more and no less."""

from __future__ import annotations

import pytest

from tests.docs.reference import PAGES, generated, written


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_up_to_date(page: str) -> None:
    _, shown = written(page)

    assert shown == generated(page), "run: python -m tests.docs.reference"


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_begins_with_words(page: str) -> None:
    own, _ = written(page)

    assert own.startswith("# ")
    assert len(own.split()) > 30
