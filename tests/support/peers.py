"""Who is at the other end of a connection of the loopback."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

LOCAL, REMOTE, INODE = 1, 2, 9


def owner_of_port(port: int, to_port: int, pids: Iterable[int]) -> int | None:
    """The process among `pids` that has a connection from this local port to the other; None when it is gone already.

    Two connections may begin at one port, as long as they do not end at the same.
    """
    wanted = {f"socket:[{inode}]" for inode in _inodes_of(port, to_port)}
    return next((pid for pid in pids if not wanted.isdisjoint(_open_files(pid))), None)


def _inodes_of(port: int, to_port: int) -> list[str]:
    here, there = f":{port:04X}", f":{to_port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    ours = (row for row in rows if row[LOCAL].endswith(here) and row[REMOTE].endswith(there))
    return [row[INODE] for row in ours if row[INODE] != "0"]


def _open_files(pid: int) -> set[str]:
    try:
        return {_target(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
    except OSError:  # it has ended
        return set()


def _target(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:  # closed in the meantime
        return ""
