"""Backups taken under load are restored and served: as the guide to backups says, step by step."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import OwnServer
from tests.support.program import Program
from tests.support.sink import Sink
from tests.support.waiting import wait_until
from tests.system.calling import Callers, add_integrations
from tests.system.killing import prepare, url_of, wait_until_finished
from tests.system.ledger import Promises, Record, out_of_order, read_effects, read_record

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("system"), pytest.mark.timeout(300)]

SECRET = {"name": "guarded", "type": "webhook-trigger", "path": "guarded", "platform_token": "hunter2-hunter2"}
GUARDED = {**SECRET, "trigger": {"methods": ["POST"], "authentication": {"mode": "platform_token"}}}


@dataclass(slots=True)
class Busy:
    """A server under load, and what its callers were promised."""

    program: Program
    promises: Promises


@contextlib.asynccontextmanager
async def busy(program: Program, sink: Sink) -> AsyncIterator[Busy]:
    """Start it and call it all the time, until the block ends; then it is killed."""
    promises, ended = Promises(), asyncio.Event()
    calling: asyncio.Task[None] | None = None
    try:
        await asyncio.to_thread(program.start)
        await asyncio.to_thread(add_integrations, program, f"{sink.url}/reply")
        await asyncio.to_thread(program.add_integration, GUARDED)
        calling = asyncio.create_task(Callers(program, promises).call_until(ended))
        await sink.wait_for(20)
        yield Busy(program, promises)
    finally:
        ended.set()
        if calling is not None:
            await calling
        program.kill()


async def check_restored(program: Program, url: str, promised: set[str]) -> Record:
    """Serve what was restored: what had been promised is there, all of it ends in order, secrets open."""
    assert promised - read_record(url).runs.keys() == set()
    await asyncio.to_thread(program.start)
    record = await wait_until_finished(url)
    token = {"X-Platform-Token": "hunter2-hunter2"}
    answer = await asyncio.to_thread(program.ask, "POST", "/hooks/default/guarded", {"n": 1}, headers=token)
    assert answer.status == 202
    assert record.unfinished() == []
    assert out_of_order(read_effects(program.folder / "effects"), record) == []
    return record


async def test_a_backup_of_sqlite_under_load_is_restored_and_goes_on(tmp_path: Path, sink: Sink) -> None:
    old = prepare(tmp_path / "old", None)
    copy = tmp_path / "backup.db"
    async with busy(old, sink) as server:
        promised = set(server.promises.accepted)
        await asyncio.to_thread(crossdock, old, "backup", str(copy), "--data", str(old.data))
    new = with_key_of(old, prepare(tmp_path / "new", None))
    shutil.copy(copy, new.database_path)
    try:
        await check_restored(new, url_of(new, None), promised)
    finally:
        new.kill()


def crossdock(program: Program, *words: str) -> None:
    command = [sys.executable, "-m", "crossdock", *words]
    done = subprocess.run(command, env=program.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def with_key_of(old: Program, new: Program) -> Program:
    """The new program, with the old one's master key in its data folder."""
    new.data.mkdir(parents=True, exist_ok=True)
    shutil.copy(old.data / "master.key", new.data / "master.key")
    return new


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


async def test_a_dump_of_postgresql_under_load_is_restored_and_goes_on(
    tmp_path: Path, sink: Sink, own_postgres: OwnServer
) -> None:
    url, restored = (own_postgres.url(own_postgres.create_database()) for _ in range(2))
    dump = str(own_postgres.folder / "crossdock.dump")
    old = prepare(tmp_path / "old", url)
    async with busy(old, sink) as server:
        promised = set(server.promises.accepted)
        dumping = ("--format=custom", "--no-owner", "--file", dump, url)
        await asyncio.to_thread(own_postgres.run_program, "pg_dump", *dumping)
    own_postgres.run_program("pg_restore", "--exit-on-error", "--no-owner", "--dbname", restored, dump)
    new = with_key_of(old, prepare(tmp_path / "new", restored))
    try:
        await check_restored(new, restored, promised)
    finally:
        new.kill()


@pytest.fixture
def archiving() -> Iterator[OwnServer]:
    """A server that puts each finished piece of its log into `archive` beside its data."""
    copy = "test ! -f ../archive/%f && cp %p ../archive/%f.part && mv ../archive/%f.part ../archive/%f"
    archive = f"archive_command=mkdir -p ../archive && {copy}"
    server = OwnServer(settings=("archive_mode=on", archive))
    yield server
    server.remove()


async def test_a_base_backup_and_the_log_bring_back_a_moment(tmp_path: Path, sink: Sink, archiving: OwnServer) -> None:
    url = archiving.url(archiving.create_database())
    old = prepare(tmp_path / "old", url)
    async with busy(old, sink) as server:
        await asyncio.to_thread(base_backup, archiving)
        await sink.wait_for(len(sink.requests) + 10)
        promised, moment = set(server.promises.accepted), asked(url, "SELECT now()::text")
        await sink.wait_for(len(sink.requests) + 10)
    lost = set(server.promises.accepted) - promised
    finish_log(archiving, url)

    restore(archiving, moment)

    new = with_key_of(old, prepare(tmp_path / "new", url))
    try:
        wait_until(lambda: asked(url, "SELECT pg_is_in_recovery()::text") == "false")
        record = await check_restored(new, url, promised)
        assert lost - record.runs.keys()
    finally:
        new.kill()


def base_backup(server: OwnServer) -> None:
    place = ("--host=127.0.0.1", f"--port={server.port}", "--username=postgres")
    server.run_program("pg_basebackup", "--pgdata", str(server.folder / "base"), "--checkpoint=fast", *place)


def finish_log(server: OwnServer, url: str) -> None:
    """As `archive_timeout` does now and then: what was written so far goes to the archive."""
    name = asked(url, "SELECT pg_walfile_name(pg_switch_wal())")
    wait_until(lambda: (server.folder / "archive" / name).exists())


def restore(server: OwnServer, moment: str) -> None:
    """Put the base backup in the place of the data, and replay the archive up to the moment."""
    server.kill()
    data = server.folder / "data"
    data.rename(server.folder / "data.broken")
    (server.folder / "base").rename(data)
    (data / "recovery.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'cp ../archive/%f %p'\n")
        settings.write(f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n")
    server.start()


def asked(url: str, statement: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return str(row[0])
