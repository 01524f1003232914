"""Functions in a folder, and a world to walk in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from crossdock.run.functions import Functions
from crossdock.store import Store
from tests.run.walking import World, write
from tests.support.held import HeldClock
from tests.support.yard import Yard


@pytest.fixture
def functions_of(tmp_path: Path) -> Iterator[Callable[[str], Functions]]:
    """Makes `Functions` of a folder with one module, `work`."""
    made: list[Functions] = []

    def make(source: str = "", threads: int = 2) -> Functions:
        folder = tmp_path / "workflows"
        folder.mkdir(exist_ok=True)
        write(folder, "work.py", source)
        made.append(Functions(folder, threads))
        return made[-1]

    yield make
    for functions in made:
        functions.close()


@pytest.fixture
def world_of(functions_of: Callable[[str], Functions]) -> Callable[..., World]:
    """Makes a world whose `work` module has the given source."""
    return lambda source="", threads=2: World(functions_of(source, threads))  # type: ignore[call-arg]


@pytest.fixture
def world(world_of: Callable[..., World]) -> World:
    return world_of()


@pytest.fixture
async def yard(store: Store, clock: HeldClock, tmp_path: Path) -> AsyncIterator[Yard]:
    """A node that looks for work."""
    built = Yard(store, clock, tmp_path / "functions")
    built.start()
    yield built
    await built.close()
