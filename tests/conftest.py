"""What every test may ask for: both databases, a store, held time and chance, a sink for outgoing calls."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from crossdock.store import Store, open_store
from crossdock.store.database import open_database
from crossdock.store.migrate import migrate
from tests.support import mariadb as mariadb_server
from tests.support.foreign_databases import ForeignDatabase, databases_in
from tests.support.held import HeldClock
from tests.support.mariadb import MariadbServer
from tests.support.postgres import ForeignServer, OwnServer
from tests.support.sink import Sink

hypothesis.settings.register_profile("shared", deadline=None)  # others work on the same machine
hypothesis.settings.load_profile("shared")

LONGEST_FIRST = {
    "tests/system/": "system",
    "tests/tracing/test_traces.py": "system",
    "tests/browser/": "browser",
    "tests/store/test_scale.py": "scale",
}
"""Groups of tests of which one worker does all: begun last, the others would have nothing to do beside it."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turns = list(dict.fromkeys(LONGEST_FIRST.values()))
    items.sort(key=lambda item: turns.index(group) if (group := _group(item.nodeid)) else len(turns))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By path: pytest 9.2 loses what pytest-xdist 3.8 makes of the marks `xdist_group`, and groups fall apart."""
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid) or nodeid

    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


def _group(nodeid: str) -> str | None:
    return next((group for path, group in LONGEST_FIRST.items() if nodeid.startswith(path)), None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> HeldClock:
    """Time that stands still: `clock()` tells it, `clock.advance(seconds)` moves it."""
    return HeldClock()


@pytest.fixture
def fraction() -> Callable[[], float]:
    """Chance that is the same in every run."""
    return random.Random(7).random


@pytest.fixture
async def sink(anyio_backend: str) -> AsyncIterator[Sink]:
    """A local web server that records what it is sent and answers as told."""
    server = Sink()
    await server.start()
    yield server
    await server.stop()


# --- databases -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[ForeignServer]:
    """The PostgreSQL server of this session: `CROSSDOCK_TEST_POSTGRES`, or one of our own."""
    given = os.environ.get("CROSSDOCK_TEST_POSTGRES")
    if given:
        yield ForeignServer(given)
        return
    server = OwnServer()
    yield server
    server.remove()


@pytest.fixture
def own_postgres() -> Iterator[OwnServer]:
    """A server for one test that stops, starts or kills it."""
    server = OwnServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "crossdock.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: ForeignServer) -> Iterator[str]:
    name = postgres.create_database()
    _migrate(postgres.url(name))
    yield name
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database; the test runs once on each kind."""
    yield from fresh_database(request, tmp_path)


def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What `database_url` does, for fixtures with other `params`."""
    if request.param == "sqlite":
        path = tmp_path / "crossdock.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: ForeignServer = request.getfixturevalue("postgres")
    name = server.create_database(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, as it is before the first start."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: ForeignServer = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
async def store(database_url: str, anyio_backend: str) -> AsyncIterator[Store]:
    """An opened store on `database_url`."""
    async with open_store(database_url) as opened:
        yield opened


def _migrate(url: str) -> None:
    database = open_database(url)
    migrate(database)
    database.dispose()


# --- databases of other systems ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariadbServer]:
    """The MariaDB server of this session."""
    if not mariadb_server.is_installed():
        advice = "MariaDB is not installed (Debian: mariadb-server-core, mariadb-client-core)"
        if mariadb_server.may_be_installed():
            pytest.fail(f"{advice}; scripts/prepare test installs it")
        pytest.skip(f"{advice}: sql steps are not tried on it")
    server = MariadbServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def foreign_postgres(postgres: ForeignServer) -> Iterator[str]:
    """One database for all tests: making one takes longer than most of them."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
async def foreign(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[ForeignDatabase]:
    """A database of another system, empty; the test runs once on each kind."""
    databases = databases_in(tmp_path)
    if request.param == "sqlite":
        path = tmp_path / "shop.db"
        path.touch()
        yield ForeignDatabase("sqlite", f"sqlite:///{path}", databases)
    elif request.param == "postgresql":
        shop = ForeignDatabase("postgresql", request.getfixturevalue("foreign_postgres"), databases)
        shop.look("DROP SCHEMA IF EXISTS public CASCADE", "CREATE SCHEMA public AUTHORIZATION CURRENT_USER")
        yield shop
    else:
        server: MariadbServer = request.getfixturevalue("mariadb")
        name = server.create_database()
        yield ForeignDatabase("mariadb", server.url(name), databases, server)
        server.drop_database(name)
    await databases.close()
