"""The database can't be written: callers are told 503, nothing is promised, and it goes on by itself afterwards."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.support.postgres import OwnServer
from tests.support.program import Program, Reply
from tests.support.waiting import wait_until
from tests.system.killing import prepare, url_of
from tests.system.ledger import read_record

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]

DOCUMENT = {"name": "orders", "type": "webhook-trigger", "path": "orders"}
ORDER = {"number": 1, "text": "x" * 20_000}


def test_full_disk_is_told_and_survived(program: Program):
    program.start()
    program.add_integration(DOCUMENT)
    before = accepted(program.call("orders", ORDER))
    assert program.process is not None

    limit_file_size(program.process.pid, 4_096)
    wait_until(lambda: program.call("orders", ORDER).status == 503)
    refused = program.call("orders", ORDER)
    limit_file_size(program.process.pid, resource.RLIM_INFINITY)

    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    wait_until(lambda: program.call("orders", ORDER).status == 202)
    wait_until(lambda: not read_record(url_of(program, None)).unfinished())
    assert before in read_record(url_of(program, None)).runs


def test_absent_postgresql_is_told_and_survived(own_postgres: OwnServer, tmp_path: Path):
    url = own_postgres.url(own_postgres.create_database())
    program = prepare(tmp_path / "program", url)
    try:
        program.start()
        program.add_integration(DOCUMENT)
        before = accepted(program.call("orders", ORDER))

        own_postgres.stop()
        refused = program.call("orders", ORDER)
        own_postgres.start()

        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        wait_until(lambda: program.call("orders", ORDER).status == 202)
        wait_until(lambda: not read_record(url).unfinished())
        assert before in read_record(url).runs
    finally:
        program.kill()


def accepted(reply: Reply) -> str:
    """The id of an accepted event."""
    assert reply.status == 202, reply
    event: str = reply.document["id"]
    return event


def limit_file_size(pid: int, most_bytes: int) -> None:
    """Files of the process can't grow beyond this: to SQLite the disk is full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
