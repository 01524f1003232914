"""The only place where concrete parts meet: Settings become a running Node.

Start: lock and migrate the database, take over what a dead process left, read the configuration, begin to work, listen,
and load the API beside the first calls. Stop is the same in reverse: stop listening, finish the calls in flight, finish
or hand back running work, record what waits, leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from crossdock import __version__, observe
from crossdock.catalog import Catalog
from crossdock.clock import Passage, Sources, new_id, system_fraction, system_monotonic, system_now
from crossdock.deliver.notices import Notices
from crossdock.deliver.replies import Replies
from crossdock.deliver.stage import DeliverStage
from crossdock.manage.actor import Actor
from crossdock.manage.single_sign_on import SignOnPorts, SingleSignOn, sign_on_of
from crossdock.manage.tokens import AdminToken
from crossdock.manage.use_cases import UseCases
from crossdock.model.epoch import Epoch
from crossdock.model.errors import Misconfigured, StoreUnavailable
from crossdock.model.gate import OPEN
from crossdock.notices.sending import NoticeSender
from crossdock.observe import Observe
from crossdock.offering import offer
from crossdock.outbound.caller import HttpCaller
from crossdock.outbound.client import HttpSender
from crossdock.outbound.databases import Databases, SqliteFiles
from crossdock.outbound.guard import Guard
from crossdock.receive.answers import Answers
from crossdock.receive.app import ReceiveApp
from crossdock.receive.traced import TracedCalls
from crossdock.run.functions import Functions, Isolation
from crossdock.run.outside import Outside
from crossdock.run.settling import Settling
from crossdock.run.stage import RunStage
from crossdock.run.surroundings import Surroundings
from crossdock.server.app import Application, AsgiApp, Parts
from crossdock.server.later import Later
from crossdock.server.protocol import Limits
from crossdock.server.serve import Address, WebServer
from crossdock.server.tls import load_tls
from crossdock.settings import ALL_ROLES, Settings
from crossdock.store import Store
from crossdock.store.claims import Rescued
from crossdock.store.configuration import ensure_workspace
from crossdock.store.database import open_database, sqlite_module
from crossdock.store.nodes import Condition, write_stance
from crossdock.store.notices import open_signals
from crossdock.store.signals import Topic
from crossdock.store.transfer_marks import check_marks, shown_place
from crossdock.tracing import open_tracer
from crossdock.turns import turns_of, wire_signals
from crossdock.ui import Workspace
from crossdock.ui.oidc import CALLBACK
from crossdock.vault import LOCAL_TOKEN_FILE, load_vault, local_secret
from crossdock.watch.health import HealthWatch
from crossdock.watch.liveness import Liveness
from crossdock.watch.measuring import Held, Measuring
from crossdock.watch.readiness import ReadinessCheck
from crossdock.watch.skew import Skew
from crossdock.watch.traffic import TrafficCount
from crossdock.watch.turns import Watch
from crossdock.watch.upkeep import Upkeep

if TYPE_CHECKING:
    from crossdock.demo import Demo

DEFAULT_WORKSPACE = "default"
SWITCH_INTERVAL_SECONDS = 0.0002
"""How long a thread may keep the interpreter when another wants it: the recorder must not wait long for the loop."""

LEAST_GRACE_SECONDS = 1.0
"""What each part of a stop gets although those before it have used the grace up."""
TRACES_SECONDS = 5.0
"""How long a stop waits for a collector to take the last spans."""
COLLECT_AFTER = 20_000
"""Objects made before the garbage collector looks for cycles: the hot path makes none, and looking takes long."""


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the process's exit code. A second signal ends the process at once."""
    for name in ("admin_token", "master_key", "metrics_token", "oidc_client_secret"):
        observe.conceal(settings.secret(name))
    observe.configure_logging(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    try:
        return uvloop.run(_serve(settings))
    except Misconfigured as error:
        print(f"crossdock: {error}", file=sys.stderr)
        return 1


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop)
    node = Node(_settled(settings))
    await node.start()
    try:
        await node.load_rest()
        await stop.wait()
        observe.emit(observe.SERVER_STOPPING, grace_seconds=settings.stop_grace)
    finally:
        await node.stop(settings.stop_grace)
    observe.emit(observe.SERVER_STOPPED)
    return 0


def _settled(settings: Settings) -> Settings:
    """The settings with the data folder made and, where any port was asked for, a free one chosen."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)  # events may hold what is nobody else's business
    if settings.database_url.startswith("sqlite") and settings.roles != ALL_ROLES:
        raise Misconfigured("roles are split between processes on PostgreSQL only; SQLite has one process for all")
    if settings.port != 0:
        return settings
    with socket.socket() as probe:
        probe.bind((settings.host, 0))
        return settings.model_copy(update={"port": probe.getsockname()[1]})


def _make_api(cases: UseCases) -> AsgiApp:
    from crossdock.api import create_api  # its models take as long to build as all the rest of a start

    return create_api(cases)


def _demo(settings: Settings) -> Demo | None:
    if not settings.demo:
        return None
    from crossdock.demo import Demo  # with its web server, which nobody else needs to wait for

    return Demo(settings)


def _sqlite_files(settings: Settings) -> SqliteFiles:
    """Where steps find SQLite databases; our own is none of them."""
    own = settings.database_url
    own_file = Path(own.removeprefix("sqlite:///")) if own.startswith("sqlite") else None
    return SqliteFiles(settings.sqlite_path, sqlite_module(), own_file)


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():  # everything acknowledged is durable: the next start takes over what is left
        observe.emit(observe.SERVER_STOP_FORCED)
        os._exit(1)
    stop.set()


class Node:
    """One running process: all parts, wired. `start` and `stop` are called once each."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        is_alone = settings.database_url.startswith("sqlite")
        self.epoch = Epoch(new_id("node"), system_monotonic, is_alone=is_alone)
        gate = OPEN if is_alone else Passage(self.epoch)
        self.sources = Sources(system_now, system_fraction, self.epoch, gate)
        self.metrics = Observe()
        self.tracer = open_tracer(settings.traces, self.sources.node_id, self.metrics, clock=system_now)
        database = open_database(settings.database_url, settings.secret("database_direct"))
        self.store = Store(database, self.metrics.commit, self.metrics.database)
        self.vault = load_vault(settings.data, settings.secret("master_key"))
        self.signals = open_signals(database, self.epoch, self.metrics.signals)
        self.catalog = Catalog(self.store, self.vault, settings.sqlite_path, self.signals)
        isolation = Isolation(settings.processes, settings.process_memory * 1024**2, settings.process_environment)
        self.functions = Functions(settings.workflows, settings.threads, isolation, gate=gate)
        self.demo = _demo(settings)
        targets = settings.allowed_targets
        opened = self.demo.allowed_networks if self.demo else ()
        self.guard = Guard((*targets.networks, *opened), targets.hosts)
        self.sender = HttpSender(self.guard, system_now, gate=gate)
        self.caller = HttpCaller(self.sender)
        self.databases = Databases(self.guard, _sqlite_files(settings), gate=gate)
        self.outside = Outside(
            self.functions, self.caller, self.databases, self.catalog.connection, self.catalog.target
        )
        self.answers = Answers(self.signals, self.epoch)
        self._looking: asyncio.Task[None] | None = None
        self._wire_stages()

    def _wire_stages(self) -> None:
        store, catalog, announce = self.store, self.catalog, self.answers.announce
        sources, tracer = self.sources, self.tracer
        replies = Replies(store, catalog, self.sender, sources=sources, tracer=tracer)
        site = self.settings.url_at(self.settings.port)
        notices = Notices(store, catalog, NoticeSender(self.caller), sources=sources, site=site)
        signals = self.signals

        def ended() -> None:
            self.health.something_ended()

        self.deliver = DeliverStage(
            store, replies, notices, self.metrics, sources=sources, signals=signals, ended=ended
        )
        settling = Settling(catalog, self.deliver, announce, self.metrics, sources=sources, ended=ended)
        self.run = RunStage(
            Surroundings(store, catalog, self.outside, settling, announce, self.metrics, sources, self.signals, tracer)
        )
        self._wire_watch()
        self.receive = ReceiveApp(
            store, catalog, self.run, self.answers, self.metrics, sources=sources, is_full=self.upkeep.is_full
        )

    def _wire_watch(self) -> None:
        self.upkeep = Upkeep(
            self.store,
            self.catalog,
            self.metrics,
            lambda: self.receive.tally.take(),
            clock=system_now,
            queue_limit=self.settings.queue_limit,
            retention_seconds=self.settings.retention,
            audit_retention_seconds=self.settings.audit_retention,
        )
        self.traffic = TrafficCount(self.store, system_now)
        self.skew = Skew(self.store, clock=system_now)
        self.health = HealthWatch(
            self.store,
            self.catalog,
            self.metrics,
            self.deliver.wake,
            clock=system_now,
            damping_seconds=self.settings.notification_damping,
            poll_seconds=lambda: self.signals.poll_seconds,
        )
        self.liveness = Liveness(
            self.store,
            self.metrics,
            self,
            sources=self.sources,
            monotonic=system_monotonic,
            ttl_seconds=self.settings.lease_ttl,
            heartbeat_seconds=self.settings.heartbeat,
            roles=",".join(sorted(self.settings.roles)),
            address=self.settings.url_at(self.settings.port),
            condition=self._condition,
        )
        self.measuring = Measuring(self.store, self.metrics, self._held, sources=self.sources)
        self.readiness = ReadinessCheck(self.store, self.sources)

    # --- what happens to nodes -------------------------------------------------------------------------------------

    def _condition(self) -> Condition:
        key_ids = ",".join(self.vault.key_ids)
        return Condition(key_ids, hears=self.signals.is_healthy, stance=write_stance(self.run.stance()))

    def _held(self) -> Held:
        lanes = self.run.lanes
        leases = {"run": self.run.leases, "lane": len(lanes), "delivery": self.deliver.leases}
        return Held({**leases, "bulk_job": self.bulk.leases}, lanes.busy, self.store.waiting)

    async def beat(self) -> None:
        await self.liveness.beat()
        self.run.heard_of_others()

    async def rescued(self, rescued: Rescued) -> None:
        """Runs of dead nodes are free now."""
        await self.run.fail_lost(rescued)
        self.deliver.wake()
        self.signals.tell(Topic.RUNS)
        self.signals.tell(Topic.LANES)
        self.signals.spread(Topic.BULK)

    async def abandon(self) -> None:
        """This node was taken for dead: nothing that it held is its own any more."""
        await self.run.abandon()
        await self.deliver.abandon()
        await self.bulk.abandon()

    # --- start -----------------------------------------------------------------------------------------------------

    async def start(self) -> Address:
        """Start everything and listen; Misconfigured when it can't be, and nothing of it is left then."""
        async with contextlib.AsyncExitStack() as undoing:
            address = await self._begin(undoing)
            undoing.pop_all()
        gc.collect()
        gc.freeze()  # what was loaded stays; the collector need not walk through it again and again
        gc.set_threshold(COLLECT_AFTER, 20, 50)
        observe.emit(observe.SERVER_STARTED, address=address.url, node=self.epoch.node_id, database=self.store.dialect)
        await self._greet(self.settings.url_at(address.port))
        if self.demo is not None:
            self.demo.begin_history(address.url)
        return address

    async def load_rest(self) -> None:
        """Load what the first webhooks need not wait for."""
        if "web" in self.settings.roles:
            await self.api.load()
            gc.freeze()

    async def _begin(self, undoing: contextlib.AsyncExitStack) -> Address:
        """Begin one part after the other; `undoing` hears how to end what has begun."""
        settings = self.settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = load_tls(settings.tls_cert, settings.tls_key, system_now())
        self.store.start()
        undoing.push_async_callback(self.store.stop)
        undoing.push_async_callback(self._leave)
        await self.liveness.register()
        await self.liveness.check_keys(self.vault.key_ids)
        await self.store.read(check_marks, shown_place(self.store.database))  # a transfer may have begun meanwhile
        self.workspace_id = await self.store.write(ensure_workspace, new_id("wsp"), DEFAULT_WORKSPACE, system_now())
        await self.catalog.reload()
        await self.liveness.rescue()  # recovery; after the configuration, which says what becomes of lost runs
        self._manage()
        await self.tokens.reload()
        undoing.push_async_callback(self.signals.stop)
        undoing.push_async_callback(self._end_work, 0.0)
        await self._start_work()
        if self.demo is not None:
            await self.demo.start()
            undoing.push_async_callback(self.demo.stop)
            actor = Actor("demo", self.workspace_id, DEFAULT_WORKSPACE, "admin")
            await self.demo.set_up(self.cases.apply, self.cases.integrations, self.cases.keys, actor)
        self.server = WebServer(self._application(), limits=self._limits(), refused=self.metrics.connection_refused)
        return await self.server.start(settings.host, settings.port, tls)

    def _manage(self) -> None:
        """The use cases: one set for the API and for the pages."""
        local = local_secret(self.settings.data / LOCAL_TOKEN_FILE)
        admins = [AdminToken("local", local, self.workspace_id, DEFAULT_WORKSPACE)]
        configured = self.settings.secret("admin_token")
        if configured is not None:
            admins.append(AdminToken("admin token", configured, self.workspace_id, DEFAULT_WORKSPACE))
        self.cases, self.bulk = offer(self, admins)
        self.tokens, self.sessions = self.cases.tokens, self.cases.sessions

    def _single_sign_on(self) -> SingleSignOn | None:
        ports = SignOnPorts(self.store, self.sessions, self.vault, system_now)
        return sign_on_of(self.settings, ports, self.sender, self.settings.url_at(self.settings.port) + CALLBACK)

    async def _start_work(self) -> None:
        """Begin with what this process's roles ask for. A stage that is stopped before it begins offers nothing."""
        self.watch = Watch(turns_of(self))
        roles = self.settings.roles
        if "run" in roles:
            self._looking = asyncio.create_task(self.run.look_forever())
        else:
            await self.run.stop(0)
        if "deliver" in roles:
            await self.deliver.start()
        else:
            await self.deliver.stop(0)
        wire_signals(self)
        await self.signals.start()
        self.watch.start()

    def _application(self) -> Application:
        has_web = "web" in self.settings.roles
        self.api = Later(lambda: _make_api(self.cases))
        return Application(
            Parts(
                ready=self.readiness.look,
                metrics=self.metrics.text,
                receive=self._doors() if "receive" in self.settings.roles else None,
                api=self.api if has_web else None,
                pages=Workspace(self.cases, self.sessions, self._single_sign_on()) if has_web else None,
                metrics_token=self.settings.secret("metrics_token"),
                trusted_proxies=self.settings.trusted_proxies,
            )
        )

    def _doors(self) -> AsgiApp:
        return self.receive if self.tracer is None else TracedCalls(self.receive, self.catalog, self.tracer)

    def _limits(self) -> Limits:
        return Limits(head_seconds=self.settings.head_timeout, body_seconds=self.settings.body_timeout)

    async def _greet(self, url: str) -> None:
        """Say where to go: the address always, the sign-in link until somebody has used it."""
        print(f"Crossdock {__version__} listens at {url}", flush=True)
        path = await self.sessions.first_sign_in_path()
        if path is not None:
            print(f"Sign in: {url}{path}", flush=True)
        if self.demo is not None:
            print(f"Try it:\n{self.demo.curl(url)}\nReplies arrive at {self.demo.sink_url}", flush=True)

    # --- stop ------------------------------------------------------------------------------------------------------

    async def stop(self, grace_seconds: float) -> None:
        """Stop in order. Calls, runs and deliveries share `grace_seconds`; what is left then is handed back."""
        deadline = asyncio.get_running_loop().time() + grace_seconds
        self.readiness.is_leaving = True
        with contextlib.suppress(StoreUnavailable):
            await self.liveness.announce_leaving()
        await self.cases.live.stop()
        if self.demo is not None:
            await self.demo.end_history()
        await self.server.stop(grace_seconds)
        await self._end_work(deadline)
        await self._leave()
        await self.signals.stop()
        if self.demo is not None:
            await self.demo.stop()
        await self.caller.close()
        await self.databases.close()
        await self.sender.close()
        self.functions.close()
        if self.tracer is not None:
            await self.tracer.close(TRACES_SECONDS)
        await self.store.stop()

    async def _end_work(self, deadline: float) -> None:
        """End what `_start_work` began. `deadline` is of the loop's clock: runs use of the grace first."""
        await self.run.stop(_seconds_until(deadline))
        if self._looking is not None:
            self._looking.cancel()
        await self.deliver.stop(_seconds_until(deadline))
        await self.watch.stop()
        with contextlib.suppress(StoreUnavailable):  # what is left is taken over at the next start
            await self.bulk.stop()
            await self.upkeep.write_counts()

    async def _leave(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # others see that this node is gone, a little later
            await self.liveness.leave()


def _seconds_until(deadline: float) -> float:
    return max(LEAST_GRACE_SECONDS, deadline - asyncio.get_running_loop().time())
