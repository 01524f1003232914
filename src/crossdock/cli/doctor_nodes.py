"""What is wrong with the nodes on a database and with what waits for them, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from crossdock.cli.findings import Finding
from crossdock.cli.output import duration_words
from crossdock.model.node_state import NodeState, judge_node
from crossdock.model.time import SECOND, Instant, later, seconds_between
from crossdock.settings import ALL_ROLES
from crossdock.store.claims import CLOCK_SKEW_SECONDS
from crossdock.store.fleet import Backlog, SeenNode
from crossdock.store.inspect import DatabaseFacts, Installation

CLOCK_TOLERANCE_SECONDS = 2.0
OVERDUE_TTLS = 3
"""After so many times the time to live somebody should have taken over what a dead node held."""
OLD_SECONDS = 300.0
LATE_REPLY_SECONDS = 60.0
RECENT_SECONDS = 60.0
"""What a node that was not heard of for so long had to tell is of no matter any more."""
NAMED_AT_MOST = 5

# --- nodes -----------------------------------------------------------------------------------------------------------


def judge_nodes(facts: DatabaseFacts, ttl_seconds: float) -> Iterator[Finding]:
    """`ttl_seconds` is after how long without a heartbeat a node's work is taken over."""
    if facts.installation is None:
        return
    states: dict[NodeState, list[SeenNode]] = {state: [] for state in NodeState}
    for node in facts.installation.nodes:
        states[judge_node(node.heartbeat_age, ttl_seconds, is_leaving=node.row.is_leaving)].append(node)
    working = states[NodeState.WORKING]
    counts = ", ".join(f"{len(found)} {state.value}" for state, found in states.items() if found)
    yield Finding("nodes", "ok", counts or "none runs")
    for node in states[NodeState.SILENT]:
        yield _judge_silent(node, ttl_seconds, someone_works=bool(working))
    yield from _judge_strangers(facts.installation)
    if working:
        yield from _judge_roles(working)
        yield from _judge_versions(working)
        if facts.dialect == "postgresql":
            yield from _judge_clocks(working)
            yield from _judge_hearing(working)


def _judge_silent(node: SeenNode, ttl_seconds: float, *, someone_works: bool) -> Finding:
    row = node.row
    words = (
        f"{row.id} (process {row.pid} on {row.host}) was last heard of {duration_words(node.heartbeat_age)} ago "
        f"and holds {_holdings(node.leases)}"
    )
    if not someone_works:
        return Finding("silent node", "warning", words, "start a node: it takes over what this one held")
    if node.heartbeat_age > ttl_seconds * OVERDUE_TTLS:
        advice = "the others should have taken it over: look in their logs for rescue.stumbled and rescue.refused"
        return Finding("silent node", "error", words, advice)
    advice = f"the others take over after {ttl_seconds:g} s; find out whether it died, hangs, or lost the database"
    return Finding("silent node", "warning", words, advice)


def _judge_strangers(installation: Installation) -> Iterator[Finding]:
    known = {node.row.id for node in installation.nodes}
    for node_id, leases in installation.leases.items():
        if node_id not in known:
            yield Finding(
                "leases of nobody",
                "warning",
                f"{node_id} is no node any more and holds {_holdings(leases)}",
                "a running node takes them back within 10 s; if they stay, look in the logs for rescue.stumbled",
            )


def _judge_roles(working: Sequence[SeenNode]) -> Iterator[Finding]:
    played = {role for node in working for role in node.row.roles.split(",")}
    effects = {
        "receive": "calls are not accepted",
        "run": "accepted events wait",
        "deliver": "replies wait",
        "web": "nobody can sign in",
    }
    for role in sorted(ALL_ROLES - played):
        yield Finding("roles", "warning", f"no node plays {role}: {effects[role]}", f"start one with --roles {role}")


def _judge_versions(working: Sequence[SeenNode]) -> Iterator[Finding]:
    counts = Counter(node.row.version for node in working)
    if len(counts) > 1:
        told = ", ".join(f"{version} ({count})" for version, count in sorted(counts.items()))
        advice = "finish the upgrade: neighbouring versions work side by side, for as long as it takes"
        yield Finding("versions", "warning", f"the nodes are of different versions: {told}", advice)


def _judge_clocks(working: Sequence[SeenNode]) -> Iterator[Finding]:
    for node in working:
        skew = node.row.clock_skew / SECOND
        if abs(skew) > CLOCK_TOLERANCE_SECONDS:
            grade = "error" if abs(skew) > CLOCK_SKEW_SECONDS else "warning"
            advice = "keep all clocks right with NTP: times of events, retries and timeouts come from them"
            words = f"the clock of {node.row.host} ({node.row.id}) is {skew:+.1f} s from the database's"
            yield Finding("clocks of nodes", "error" if grade == "error" else "warning", words, advice)


def _judge_hearing(working: Sequence[SeenNode]) -> Iterator[Finding]:
    deaf = [node.row.id for node in working if not node.row.hears]
    if deaf:
        yield Finding(
            "signals",
            "warning",
            f"not heard by {_named(deaf)}: they find work of other nodes by looking, every second",
            "look in their logs for signals.lost; behind a pooler, set database_direct to PostgreSQL's own address",
        )


def _holdings(leases: Mapping[str, int]) -> str:
    words = {"run": "runs", "lane": "lanes", "delivery": "deliveries", "bulk_job": "bulk jobs"}
    return ", ".join(f"{leases[kind]} {word}" for kind, word in words.items() if leases.get(kind)) or "nothing"


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


# --- master keys -----------------------------------------------------------------------------------------------------


def judge_keys(facts: DatabaseFacts, key_ids: Sequence[str]) -> Iterator[Finding]:
    """`key_ids` are the master keys here; none where they are not made yet."""
    if facts.installation is None:
        return
    needed = facts.installation.sealing_keys
    for key, sealed in sorted(needed.items()):
        if key not in key_ids:
            yield Finding(
                "master key",
                "error",
                f"{sealed.secrets} secret(s) were sealed with {key}, which is not among the keys here",
                "give every node the same master_key (or key file), or enter these secrets again",
            )
    telling = [n for n in facts.installation.nodes if n.row.key_ids and n.heartbeat_age < RECENT_SECONDS]
    for node in telling:
        # It tells of its keys with each heartbeat: of one that is newer than the last one it can't have told yet.
        told_at = later(node.row.heartbeat_at, -CLOCK_TOLERANCE_SECONDS)
        has = node.row.key_ids.split(",")
        lacking = sorted(key for key, sealed in needed.items() if key not in has and sealed.since < told_at)
        if lacking:
            yield Finding(
                "keys of nodes",
                "error",
                f"{node.row.id} on {node.row.host} can't open secrets that were sealed with {', '.join(lacking)}",
                "give it the same master_key (or key file) as the others, and restart it",
            )
    sets = {frozenset(node.row.key_ids.split(",")) for node in telling}
    if len(sets) > 1:
        yield Finding(
            "keys of nodes",
            "warning",
            "the nodes have different master keys: what one seals, others may not open",
            "give every node the same master_key (or key file), and restart those that had another",
        )


# --- what waits ------------------------------------------------------------------------------------------------------


def judge_backlog(facts: DatabaseFacts, now: Instant) -> Iterator[Finding]:
    if facts.installation is None:
        return
    backlogs = facts.installation.backlogs
    runs, replies = sum(each.unfinished for each in backlogs), sum(each.deliveries for each in backlogs)
    yield Finding("unfinished work", "ok", f"{runs} runs are not finished, {replies} replies wait")
    blocked = [each for each in backlogs if each.blocked]
    if blocked:
        yield Finding(
            "blocked lanes",
            "warning",
            f"{sum(each.blocked for each in blocked)} wait for a decision, in {_named(_ids(blocked))}",
            "see `crossdock lanes list`, then retry, skip or park their heads",
        )
    old = [each for each in backlogs if each.oldest_at and seconds_between(each.oldest_at, now) > OLD_SECONDS]
    if old:
        oldest = max(seconds_between(each.oldest_at, now) for each in old if each.oldest_at is not None)
        yield Finding(
            "backlog",
            "warning",
            f"the oldest run has waited for {duration_words(oldest)}; more than 5 min in {_named(_ids(old))}",
            "`crossdock backlog` tells what waits for what; a slow target or a low concurrency is the usual cause",
        )
    late = [e for e in backlogs if e.delivery_due_at and seconds_between(e.delivery_due_at, now) > LATE_REPLY_SECONDS]
    if late:
        yield Finding(
            "late replies",
            "warning",
            f"replies are due for more than a minute in {_named(_ids(late))}",
            "see that a node plays `deliver`, and whether their targets answer",
        )


def _ids(backlogs: Sequence[Backlog]) -> list[str]:
    return [each.integration_id for each in backlogs]
