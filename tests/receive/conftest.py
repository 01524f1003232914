"""A node without its web server, to be called as a web server would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crossdock.store import Store
from tests.support.held import HeldClock
from tests.support.yard import Yard


@pytest.fixture
async def yard(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[Yard]:
    built = Yard(store, clock, tmp_path / "functions")
    built.start()
    yield built
    await built.close()
