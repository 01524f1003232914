"""What is wrong with an installation, and what to do about it.

Each check looks at one thing and gives findings; what they say is decided here, in `doctor_nodes` and in
`doctor_server`, what there is to see comes from the settings, the file system and `store.inspect`.
"""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

from crossdock.cli.doctor_nodes import judge_backlog, judge_keys, judge_nodes
from crossdock.cli.doctor_server import judge_server
from crossdock.cli.findings import Finding
from crossdock.clock import system_now
from crossdock.model.errors import Misconfigured
from crossdock.model.time import Instant, format_instant, seconds_between
from crossdock.settings import Settings
from crossdock.store.inspect import DatabaseFacts, inspect_database
from crossdock.vault import KEY_FILE, LOCAL_TOKEN_FILE, check_private_file, key_id, load_vault, parse_keys

LOW_SPACE_BYTES = 1_000_000_000
NO_SPACE_BYTES = 100_000_000
CLOCK_TOLERANCE_SECONDS = 2.0
FIRST_SENSIBLE_TIME: Instant = 1_760_000_000_000_000  # October 2025: a clock before this was never set
SHORT_TOKEN = 20
METADATA_ADDRESS = ip_address("169.254.169.254")


def examine(settings: Settings) -> list[Finding]:
    """All findings about the installation that these settings describe."""
    now = system_now()
    direct = settings.secret("database_direct")
    facts = inspect_database(settings.database_url, now, direct)
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: judge_database(facts),
        lambda: judge_server(facts),
        lambda: judge_nodes(facts, settings.lease_ttl),
        lambda: judge_backlog(facts, now),
        lambda: judge_clock(facts, now, _folder_time(settings.data)),
        lambda: check_data_folder(settings),
        lambda: check_keys(settings, facts),
        lambda: check_tls(settings, now),
        lambda: judge_exposure(settings),
        lambda: judge_targets(settings),
        lambda: check_workflows(settings),
    )
    return [finding for check in checks for finding in check()]


def judge_database(facts: DatabaseFacts) -> Iterator[Finding]:
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[facts.dialect]
    if facts.problem is not None:
        yield Finding("database", "error", f"{facts.place}: {facts.problem}", _advice(facts.problem))
        return
    if not facts.exists:
        yield Finding("database", "ok", f"{name} {facts.version}; {facts.place} is made at the first start")
        return
    holder = f", in use by process {facts.holder}" if facts.holder else ""
    yield Finding("database", "ok", f"{name} {facts.version} at {facts.place}{holder}")
    if facts.durability in ("wal/full", "wal/extra", "on", "local", "remote_apply", "remote_write"):
        yield Finding("durability", "ok", facts.durability)
    else:
        advice = "keep the data folder on a local disk" if facts.dialect == "sqlite" else "set synchronous_commit = on"
        yield Finding("durability", "error", f"{facts.durability}: a power loss may lose accepted events", advice)
    yield _judge_revision(facts)
    if facts.lacking:
        advice = "run `crossdock migrate` as the role that owns the tables, past any pooler"
        yield Finding("indexes", "warning", f"not there: {', '.join(facts.lacking)}; all works, slower", advice)
    if facts.is_pooled:
        advice = "set database_direct to the address of PostgreSQL itself"
        yield Finding("pooler", "warning", "nodes can't signal one another through it: they ask instead", advice)


def _advice(problem: str) -> str:
    if "read-only" in problem or "standby" in problem:
        return "it is a standby: name the primary, or all servers (postgresql://USER@ONE,TWO/NAME finds the primary)"
    return "make it reachable, or name another one"


def _judge_revision(facts: DatabaseFacts) -> Finding:
    if facts.revision == facts.latest_revision:
        return Finding("tables", "ok", f"revision {facts.revision}")
    if facts.revision is None:
        return Finding("tables", "warning", "there are none yet", "`crossdock migrate` or the first start makes them")
    words = f"revision {facts.revision}, but this program works with {facts.latest_revision}"
    if facts.is_shared:
        words = f"revision {facts.revision} is a newer version's; this program ({facts.latest_revision}) may share it"
        return Finding("tables", "warning", words, "finish the upgrade: run the newer version everywhere")
    if facts.revision > facts.latest_revision:
        return Finding("tables", "error", words, "start the newer version that made them, or restore a backup")
    return Finding("tables", "error", words, "run `crossdock migrate`")


def judge_clock(facts: DatabaseFacts, now: Instant, folder_time: Instant | None) -> Iterator[Finding]:
    if now < FIRST_SENSIBLE_TIME:
        yield Finding("clock", "error", f"it is not {format_instant(now)}", "set the time; use NTP to keep it right")
        return
    others = {"the database's": facts.clock, "the data folder's": folder_time}
    apart = {
        whose: seconds_between(now, other)
        for whose, other in others.items()
        if other is not None and abs(seconds_between(now, other)) > CLOCK_TOLERANCE_SECONDS
    }
    for whose, seconds in apart.items():
        yield Finding(
            "clock",
            "warning",
            f"{whose} clock differs by {seconds:+.1f} s from this machine's",
            "keep both right with NTP: times of events and timeouts come from them",
        )
    if not apart:
        yield Finding("clock", "ok", format_instant(now))


def check_data_folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data.absolute()
    if not folder.is_dir():
        yield Finding("data folder", "ok", f"{folder} is made at the first start")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022:
        yield Finding("data folder", "warning", f"{folder} may be changed by others", f"run: chmod go-w {folder}")
    free = shutil.disk_usage(folder).free
    words = f"{free / 1e9:.1f} GB free in {folder}"
    if free < NO_SPACE_BYTES:
        yield Finding("disk space", "error", words, "make room now: calls are refused when the disk is full")
    elif free < LOW_SPACE_BYTES:
        yield Finding("disk space", "warning", words, "make room, or shorten the retention")
    else:
        yield Finding("disk space", "ok", words)


def check_keys(settings: Settings, facts: DatabaseFacts) -> Iterator[Finding]:
    master_key = settings.secret("master_key")
    file = settings.data / KEY_FILE
    key_ids: tuple[str, ...] = ()
    try:
        if master_key is not None:
            key_ids = tuple(map(key_id, parse_keys(master_key.replace(",", "\n"), "the setting master_key")))
            yield Finding("master key", "ok", f"{len(key_ids)} from the setting")
        elif file.exists():
            key_ids = load_vault(settings.data, None).key_ids
            yield Finding("master key", "ok", f"{len(key_ids)} in {file}")
        else:
            yield Finding("master key", "ok", f"{file} is made at the first start")
    except (Misconfigured, OSError) as error:
        yield Finding("master key", "error", str(error), "secrets can't be opened without it")
    else:
        yield from judge_keys(facts, key_ids)
    token_file = settings.data / LOCAL_TOKEN_FILE
    if token_file.exists():
        try:
            check_private_file(token_file)
        except Misconfigured as error:
            yield Finding("admin token file", "error", str(error), "and restart with a new one: delete the file first")


def check_tls(settings: Settings, now: Instant) -> Iterator[Finding]:
    if settings.tls_cert is None or settings.tls_key is None:
        return
    from crossdock.server.tls import load_tls

    try:
        load_tls(settings.tls_cert, settings.tls_key, now)
    except Misconfigured as error:
        yield Finding("TLS", "error", str(error), "see docs/guides/tls.md")
        return
    yield Finding("TLS", "ok", f"{settings.tls_cert} and its key fit")


def judge_exposure(settings: Settings) -> Iterator[Finding]:
    local = settings.host in ("127.0.0.1", "::1", "localhost")
    behind_tls = settings.tls_cert is not None or (settings.base_url or "").startswith("https://")
    if local or behind_tls:
        yield Finding("exposure", "ok", f"listens on {settings.host}" + ("" if local else ", with TLS"))
    else:
        yield Finding(
            "exposure",
            "warning",
            f"listens on {settings.host} without TLS: keys and tokens can be read on the way",
            "set tls_cert and tls_key, or put a TLS proxy before it and set base_url to its https address",
        )
    for name in ("admin_token", "metrics_token"):
        token = settings.secret(name)
        if token is not None and len(token) < SHORT_TOKEN:
            yield Finding(name, "warning", "it is short enough to be guessed", "make one with: openssl rand -hex 32")


def judge_targets(settings: Settings) -> Iterator[Finding]:
    targets = settings.allowed_targets
    if not targets.networks and not targets.hosts:
        yield Finding("allowed targets", "ok", "none: replies and steps reach public addresses only")
        return
    for network in targets.networks:
        if network.prefixlen == 0:
            yield Finding(
                "allowed targets", "warning", f"{network} lets workflows reach everything", "name the networks in use"
            )
        elif METADATA_ADDRESS in network:
            yield Finding(
                "allowed targets",
                "warning",
                f"{network} holds the address at which clouds hand out credentials",
                "name a smaller network",
            )
    yield Finding("allowed targets", "ok", str(targets))


def check_workflows(settings: Settings) -> Iterator[Finding]:
    folder = settings.workflows
    if folder is None:
        return
    if not folder.is_dir():
        yield Finding(
            "workflows", "error", f"{folder} is not a folder", "make it, or name another one with --workflows"
        )
        return
    count = sum(1 for _ in folder.glob("**/*.py"))
    yield Finding("workflows", "ok", f"{count} Python files in {folder}")
    if stat.S_IMODE(folder.stat().st_mode) & 0o002:
        yield Finding(
            "workflows",
            "error",
            f"{folder} may be changed by everybody: its code runs here",
            f"run: chmod o-w {folder}",
        )


def _folder_time(folder: Path) -> Instant | None:
    """What the file system of the data folder takes for now; None where it can't be tried."""
    import tempfile

    if not folder.is_dir():
        return None
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            before = time.time_ns()
            written = Path(file.name).stat().st_mtime_ns
            return system_now() + (written - before) // 1_000
    except OSError:
        return None
