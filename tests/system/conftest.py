"""Fixtures of the tests that run the whole program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.system.killing import prepare


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A program on SQLite, not yet started, that is gone after the test."""
    made = prepare(tmp_path / "program", None)
    yield made
    made.kill()
