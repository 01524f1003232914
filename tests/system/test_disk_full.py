"""A full disk under load: nothing acknowledged is lost, and it goes on by itself.

The long form is `scripts/faults disk-full`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sink import Received
from tests.system.disk_full import (
    ADVICE,
    DiskPlan,
    DiskReport,
    LimitedFiles,
    disk_of,
    fill_disk_repeatedly,
    without_advice,
)
from tests.system.fault_counts import repeated_without_cause
from tests.system.killing import prepare
from tests.system.ledger import Effect

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(180)]


async def test_promises_outlive_a_full_disk(tmp_path: Path):
    report = await fill_disk_repeatedly(tmp_path, DiskPlan(2))

    assert report.problems() == {}
    assert report.acknowledged > 50
    assert report.refused > 20
    assert report.recovery_seconds < 10


async def test_disk_that_never_fills_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.system.disk_full.SmallDisk.fill", lambda _: None)
    monkeypatch.setattr("tests.system.disk_full.LimitedFiles.fill", lambda _: None)
    monkeypatch.setattr("tests.system.disk_full.REFUSED_WITHIN", 0.2)

    report = await fill_disk_repeatedly(tmp_path, DiskPlan(1, full_seconds=0.1, between_seconds=0.2))

    assert set(report.problems()) == {"never_refused", "without_advice"}


def test_small_disk_is_really_full(tmp_path: Path):
    program = prepare(tmp_path, None)
    with disk_of(program, size=4 * 1024 * 1024) as disk:
        if isinstance(disk, LimitedFiles):
            return  # it acts on the process, not on the disk
        disk.fill()

        with pytest.raises(OSError, match="No space left"):
            (program.data / "more").write_bytes(bytes(8_192))
        disk.make_room()
        (program.data / "more").write_bytes(bytes(8_192))


def test_log_without_advice_is_told():
    assert without_advice('{"message": "store.lost", "reason": "database or disk is full"}') != []
    assert without_advice(f'{{"message": "store.lost", "advice": "{ADVICE} on /data"}}') == []


def test_effect_that_comes_twice_without_a_crash_is_found():
    twice = [Effect("e1", "L", 1, "first"), Effect("e1", "L", 1, "first"), Effect("e1", "L", 1, "second")]
    replies = [Received("POST", "/", {}, {"webhook-id": "dlv_1"}, b"")] * 2

    assert repeated_without_cause(twice, replies) == ["e1 first", "reply dlv_1"]


def test_each_thing_that_a_report_finds_is_a_problem():
    report = DiskReport()
    report.findings.lost.append("e1")
    report.note_wrong("not_recovered", "fill 1")

    assert report.problems() == {"lost": ["e1"], "not_recovered": ["fill 1"]}
