"""Backups of a database that is in use."""

from __future__ import annotations

import resource
import shutil
import threading
from pathlib import Path

import pytest

from crossdock.model.errors import Misconfigured
from crossdock.store.backup import STEP_PAGES, back_up
from crossdock.store.database import sqlite_module


@pytest.fixture
def source(sqlite_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "crossdock.db"))


def settings_in(file: Path) -> int:
    connection = sqlite_module().connect(str(file))
    try:
        return int(connection.execute("SELECT count(*) FROM setting WHERE name LIKE 'note %'").fetchone()[0])
    finally:
        connection.close()


def test_a_backup_is_whole_private_and_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "copy.db"
    target.parent.mkdir()

    size = back_up(f"sqlite:///{source}", target)

    assert size == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    assert settings_in(target) == 0


def test_a_backup_taken_while_somebody_writes_has_every_commit_before_it(source: Path, tmp_path: Path) -> None:
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        connection = sqlite_module().connect(str(source), isolation_level=None, timeout=10)
        number = 0
        while not stop.is_set():
            number += 1
            connection.execute("INSERT INTO setting (name, value) VALUES (?, '')", (f"note {number}",))
            if number == 50:
                written.set()
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(20)
        back_up(f"sqlite:///{source}", tmp_path / "copy.db")
    finally:
        stop.set()
        writer.join()

    assert settings_in(tmp_path / "copy.db") >= 50


def test_a_backup_in_many_steps_shows_one_moment(source: Path, tmp_path: Path) -> None:
    """Each step finds the database changed, and the copy must neither mix moments nor begin anew."""
    writer = sqlite_module().connect(str(source), isolation_level=None)
    writer.execute("INSERT INTO setting (name, value) VALUES ('filler', ?)", ("x" * 4 * STEP_PAGES * 4096,))
    told: list[int] = []

    def write_between(done: int, total: int) -> None:
        told.append(done)
        writer.execute("INSERT INTO setting (name, value) VALUES (?, '')", (f"note {done}",))

    back_up(f"sqlite:///{source}", tmp_path / "copy.db", write_between)

    assert len(told) > 3
    assert told == sorted(told)
    assert settings_in(source) == len(set(told))
    assert settings_in(tmp_path / "copy.db") == 0
    writer.close()


def test_whoever_watches_can_end_a_backup(source: Path, tmp_path: Path) -> None:
    def press_ctrl_c(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(f"sqlite:///{source}", tmp_path / "backups.db", press_ctrl_c)

    assert [path.name for path in tmp_path.iterdir() if "backups" in path.name] == []


def test_a_disk_that_fills_up_is_told(source: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(_done: int, _total: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))

    writer = sqlite_module().connect(str(source), isolation_level=None)
    writer.execute("INSERT INTO setting (name, value) VALUES ('filler', ?)", ("x" * 3 * STEP_PAGES * 4096,))
    writer.close()
    try:
        with pytest.raises(Misconfigured, match="copied to .*copy.db: a disk refuses"):
            back_up(f"sqlite:///{source}", tmp_path / "copy.db", fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert not (tmp_path / "copy.db").exists()


def test_a_folder_without_room_is_told_before_anything_is_written(source: Path) -> None:
    target = Path("/proc/copy.db")  # a file system that never has a byte free

    with pytest.raises(Misconfigured, match="/proc has 0 MB free, and the backup needs .* MB; make room"):
        back_up(f"sqlite:///{source}", target)


def test_a_backup_never_overwrites(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(Misconfigured, match="exists already"):
        back_up(f"sqlite:///{source}", target)

    assert target.read_text() == "precious"


def test_a_damaged_database_is_not_passed_off_as_a_backup(source: Path, tmp_path: Path) -> None:
    damaged = bytearray(source.read_bytes())
    damaged[8192:12288] = b"\x55" * 4096
    source.write_bytes(damaged)

    with pytest.raises(Misconfigured, match="integrity check|can't be copied"):
        back_up(f"sqlite:///{source}", tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////nowhere/crossdock.db", "there is no database /nowhere/crossdock.db"),
        ("postgresql://u:hunter2@db/crossdock", "pg_dump"),
    ],
)
def test_what_can_not_be_backed_up_is_said(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=said) as refused:
        back_up(url, tmp_path / "copy.db")

    assert "hunter2" not in str(refused.value)


def test_a_folder_that_is_not_there_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="copy.db can't be written: No such file or directory"):
        back_up(f"sqlite:///{source}", tmp_path / "missing" / "copy.db")
