"""What a node does again and again, and what it does at once because another node tells of it.

Signals only hasten: whatever they tell of is found by a turn, or by a stage's own look, when they do not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from crossdock import observe
from crossdock.catalog import Catalog
from crossdock.clock import Sources
from crossdock.deliver.stage import DeliverStage
from crossdock.manage.sessions import Sessions
from crossdock.manage.tokens import Tokens
from crossdock.observe import Observe
from crossdock.receive.answers import Answers
from crossdock.receive.app import ReceiveApp
from crossdock.run.functions import Functions
from crossdock.run.stage import RunStage
from crossdock.settings import Settings
from crossdock.store import Store
from crossdock.store.configuration import configuration_number
from crossdock.store.signals import Signals, Topic
from crossdock.watch.bulk import BulkWork
from crossdock.watch.duties import once_for_all
from crossdock.watch.health import HealthWatch
from crossdock.watch.liveness import Liveness
from crossdock.watch.measuring import Measuring
from crossdock.watch.skew import Skew
from crossdock.watch.traffic import TrafficCount
from crossdock.watch.turns import Turn
from crossdock.watch.upkeep import Upkeep


class Parts(Protocol):
    """The parts of a node that have something to do again and again."""

    settings: Settings
    sources: Sources
    store: Store
    signals: Signals
    metrics: Observe
    catalog: Catalog
    tokens: Tokens
    sessions: Sessions
    functions: Functions
    answers: Answers
    receive: ReceiveApp
    run: RunStage
    deliver: DeliverStage
    bulk: BulkWork
    liveness: Liveness
    upkeep: Upkeep
    skew: Skew
    health: HealthWatch
    measuring: Measuring
    traffic: TrafficCount

    async def beat(self) -> None: ...


def turns_of(node: Parts) -> list[Turn]:
    """What this node does again and again."""
    is_alone = node.store.dialect == "sqlite"
    signals = node.signals

    def strays() -> float:
        """Commits whose answers are lost leave strays: two looks find them, a second apart after an outage."""
        return 1.0 if node.store.has_just_recovered else 10.0

    turns = [
        Turn("heartbeat", node.settings.heartbeat, node.beat),
        Turn("rescue", min(1.0, node.settings.lease_ttl / 2), node.liveness.rescue),
        Turn("stray runs", strays, node.run.return_strays, alarm=_recovery_bell(node.store)),
        Turn("stray deliveries", strays, node.deliver.return_strays, alarm=_recovery_bell(node.store)),
        Turn("counts", 2.0, node.upkeep.write_counts),
        Turn("token use", 10.0, node.tokens.record_uses),
        Turn("session use", 10.0, node.sessions.record_seen),
        Turn("measure", 2.0 if is_alone else 5.0, node.upkeep.measure),
        Turn("measure all", lambda: node.measuring.pause_seconds, node.measuring.measure),
        Turn("event loop", 0.5, node.measuring.feel_the_loop),
        Turn("configuration", 2.0, lambda: _refresh_configuration(node), alarm=_bell(signals, Topic.CONFIGURATION)),
        Turn("functions", 1.0, lambda: _refresh_functions(node)),
        Turn("clocks ahead", 30.0, node.skew.pull_back),
        Turn("health", 1.0, node.health.take_in, alarm=node.health.bell),
        Turn("health shown", 15.0, node.health.measure),
    ]
    if "run" in node.settings.roles:
        turns += _turns_of_runs(node)
    if not is_alone:
        turns += [
            # It asks nothing while nobody waits here, so that it may be quick.
            Turn("answers", lambda: signals.poll_seconds / 4, node.receive.look_for_answers, alarm=_answer_bell(node)),
            Turn("sharing of lanes", 5.0, node.run.lanes.share),
        ]
    duties = _duties_of(node)
    if is_alone:
        return turns + duties
    return turns + [once_for_all(duty, node.store, node.sources, node.metrics.duty_taken) for duty in duties]


def _turns_of_runs(node: Parts) -> list[Turn]:
    """What a node does again and again that runs workflows."""
    signals = node.signals
    bulk_seconds = 0.5 if node.store.dialect == "sqlite" else lambda: signals.poll_seconds
    return [
        Turn("bulk jobs", bulk_seconds, node.bulk.look, alarm=_bell(signals, Topic.BULK)),
        Turn("lanes of this node", lambda: signals.poll_seconds, node.run.lanes.look),
        Turn("lanes that stand still", 5.0, node.run.lanes.mend),
    ]


def _duties_of(node: Parts) -> list[Turn]:
    """What is done once for all nodes."""
    is_alone = node.store.dialect == "sqlite"
    duties = [
        Turn("orphans", 5.0 if is_alone else 10.0, node.upkeep.cancel_orphans),
        Turn("health by time", 5.0 if is_alone else 10.0, node.health.look_at_time),
        Turn("held notices", 5.0 if is_alone else 10.0, node.health.release),
        Turn("retention", 60.0, node.upkeep.forget),
        Turn("retention of health", 60.0, node.upkeep.forget_health),
        Turn("retention of bulk jobs", 60.0, node.bulk.forget),
        Turn("traffic", 10.0, node.traffic.count),
        Turn("retention of traffic", 600.0, node.traffic.forget),
        Turn("retention of sessions", 60.0, node.sessions.forget),
    ]
    if "run" in node.settings.roles:
        duties.append(Turn("forgotten lanes", 60.0, node.run.lanes.wake_forgotten))
    if not is_alone:
        duties.append(Turn("retention of rate limits", 60.0, node.upkeep.forget_permits))
    return duties


def wire_signals(node: Parts) -> None:
    """Let what other nodes tell reach the stages that it is for."""
    if "run" in node.settings.roles:
        node.signals.on(Topic.RUNS, node.run.runs_told)
        node.signals.on(Topic.CANCEL, node.run.cancels_told)
        node.signals.on(Topic.LANE, node.run.lanes.changes_told)
        node.signals.on(Topic.LANE_GROWN, node.run.lanes.growth_told)
        node.signals.on(Topic.LANES, lambda _: node.run.seek_lanes())
    if "deliver" in node.settings.roles:
        node.signals.on(Topic.DELIVERIES, lambda _: node.deliver.look_soon())


def _bell(signals: Signals, topic: Topic) -> asyncio.Event:
    """An alarm that signals of a topic set."""
    bell = asyncio.Event()
    signals.on(topic, lambda _: bell.set())
    return bell


def _recovery_bell(store: Store) -> asyncio.Event:
    """An alarm that is set when the database is back."""
    bell = asyncio.Event()
    store.on_recovered(bell.set)
    return bell


def _answer_bell(node: Parts) -> asyncio.Event:
    """An alarm that is set when somebody here waits for what a signal tells of."""
    bell = asyncio.Event()

    def told(event_ids: Sequence[str]) -> None:
        if node.answers.are_told(event_ids):
            bell.set()

    node.signals.on(Topic.ANSWER, told)
    return bell


async def _refresh_configuration(node: Parts) -> None:
    number = await node.store.read(configuration_number)
    await node.catalog.reload_unless(number)
    await node.tokens.reload_unless(number)


async def _refresh_functions(node: Parts) -> None:
    for problem in await asyncio.to_thread(node.functions.refresh):
        observe.emit(observe.FUNCTIONS_BROKEN, problem=problem)
    counts = node.functions.counts
    states = {(use, state): number for use, at in counts.items() for state, number in at.states.items()}
    node.metrics.set_workers(states, {use: at.waiting for use, at in counts.items()})
