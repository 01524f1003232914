"""Several real nodes on one PostgreSQL, each a process with its own data folder, and the ways to hurt them."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
from aiohttp import web
from psycopg import OperationalError, sql

from crossdock.store.database import open_database
from crossdock.store.migrate import migrate
from tests.support.moments import look_at_clocks, moment
from tests.support.peers import owner_of_port
from tests.support.postgres import ForeignServer
from tests.support.program import LAUNCHER, Program
from tests.support.sink import Sink
from tests.system.history import add_places, observe
from tests.system.killing import FUNCTIONS

T = TypeVar("T")

SHORT_LEASE = {"lease_ttl": "PT3S", "heartbeat": "PT0.5S"}
"""A fault costs less time so; what depends on the length of a lease is measured with the defaults, too."""
MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
POLL_SECONDS = 0.05
LEASED = ("run", "delivery", "lane")

Route = Callable[[int, str], str]
"""The database URL that a node shall use, by its number and the direct one: a way through a proxy, for example."""


def direct(_number: int, url: str) -> str:
    return url


@dataclass(slots=True)
class Place:
    """Where a node runs. It may be killed, frozen and started again; each start is another node."""

    name: str
    program: Program
    is_frozen: bool = False

    @property
    def url(self) -> str:
        return self.program.url

    @property
    def pid(self) -> int:
        return self.program.process.pid if self.program.process is not None else 0

    def start(self) -> None:
        self.program.start()

    def kill(self) -> None:
        self.program.kill()
        self.is_frozen = False

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does: it neither runs nor knows that it does not."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)
        self.is_frozen = False

    def has_ended(self) -> bool:
        """Whether its process has ended although nobody killed it."""
        return self.program.process is not None and self.program.process.poll() is not None


@dataclass(slots=True)
class Cluster:
    """`places` share a database of `server`; what they send out arrives at `sink`."""

    folder: Path
    server: ForeignServer
    database: str
    places: list[Place]
    sink: Sink
    clocks: list[tuple[int, int]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The database for whoever looks from outside."""
        return self.server.url(self.database)

    @property
    def effects_path(self) -> Path:
        return self.folder / "effects"

    async def look(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the database; [] when it is away."""
        return await asyncio.to_thread(_look, self.url, query, parameters)

    async def nodes_at(self, place: Place) -> list[str]:
        """The nodes that the database knows there, the newest last."""
        query = "SELECT id FROM node WHERE id IN (SELECT key FROM witness.change WHERE place = %s) ORDER BY started_at"
        return [row[0] for row in await self.look(query, place.name)]

    async def work_of(self, node: str) -> int:
        """How many runs, deliveries and lanes are leased to a node; -1 while the database is away."""
        query = " UNION ALL ".join(f"SELECT count(*) FROM {table} WHERE lease_node = %s" for table in LEASED)
        rows = await self.look(query, node, node, node)
        return sum(row[0] for row in rows) if rows else -1

    async def start(self) -> None:
        """Start all nodes side by side."""
        await asyncio.gather(*(asyncio.to_thread(place.start) for place in self.places))

    async def stop(self) -> list[int]:
        """Ask all nodes to end; their exit codes."""
        return await asyncio.gather(*(asyncio.to_thread(place.program.stop) for place in self.places))


@asynccontextmanager
async def a_cluster(
    folder: Path,
    server: ForeignServer,
    *,
    nodes: int = 3,
    settings: Mapping[str, str] = SHORT_LEASE,
    route: Route = direct,
    launcher: Sequence[str] = LAUNCHER,
) -> AsyncIterator[Cluster]:
    """A cluster whose nodes are not started yet; nothing of it is left afterwards."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    names = [f"node_{number + 1}" for number in range(nodes)]
    database = await asyncio.to_thread(prepare_database, server, names)
    places = []
    for number, name in enumerate(names):
        url = route(number, signed_in_as(name, server.url(database)))
        given = {"allowed_targets": "127.0.0.1", "master_key": MASTER_KEY, **settings}
        arguments = ["--workflows", str(FUNCTIONS)]
        program = Program(folder / name, database=url, settings=given, arguments=arguments, launcher=launcher)
        program.environment |= {"EFFECT_LEDGER": str(folder / "effects"), "PLACE": name}
        places.append(Place(name, program))
    sink = Sink()
    cluster = Cluster(folder, server, database, places, sink)
    sink.sender_of = _Senders(cluster).name
    await sink.start()
    cluster.clocks.append(look_at_clocks())
    try:
        yield cluster
    finally:
        for place in places:
            place.kill()
        await sink.stop()
        await asyncio.to_thread(_drop, server, database)


def prepare_database(server: ForeignServer, names: Sequence[str]) -> str:
    """Make a database that notes its changes, and a role for each name; the database's name."""
    name = server.create_database()
    add_places(server.url(name), names)
    database = open_database(server.url(name))
    try:
        migrate(database)
    finally:
        database.dispose()
    observe(server.url(name))
    return name


def _drop(server: ForeignServer, database: str) -> None:
    try:
        server.drop_database(database)
    except OperationalError:  # the server itself is gone, and its data with it
        return


def signed_in_as(name: str, url: str) -> str:
    """The URL with another role."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{name}@{parts.hostname}:{parts.port}").geturl()


def _look(url: str, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute(sql.SQL(query), parameters).fetchall()
    except OperationalError:
        return []


class _Senders:
    """Tells which node a request comes from, by the owner of its connection; looked up once for each connection."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[int, tuple[asyncio.BaseTransport, str]] = {}

    def name(self, request: web.BaseRequest) -> str:
        if request.transport is None or (peer := request.transport.get_extra_info("peername")) is None:
            return ""
        known = self._known.get(peer[1])
        if known is not None and known[0] is request.transport:
            return known[1]
        pids = {place.pid: place.name for place in self._cluster.places if place.pid}
        owner = owner_of_port(peer[1], request.transport.get_extra_info("sockname")[1], pids)
        name = pids.get(owner, "") if owner is not None else ""
        self._known[peer[1]] = request.transport, name
        return name


async def until(claim: Callable[[], Any], within: float, what: str) -> float:
    """Ask an async claim again and again until it holds; the seconds that it took, or TimeoutError with `what`."""
    started = moment()
    while not await claim():
        if (moment() - started) / 1e6 > within:
            raise TimeoutError(f"{what}: not within {within} s")
        await asyncio.sleep(POLL_SECONDS)
    return (moment() - started) / 1e6
