"""A document is followed as its reader would: its files are written, its commands carried out, their output read.

A comment before a code block says what it is:

    <!-- file: NAME -->   is saved under this name
    <!-- serve -->        starts the program with the arguments shown (again, if it runs)
    <!-- stop -->         stops it; how that is done where it is a service is not carried out
    <!-- run -->          is carried out by a shell, which keeps its variables; every command has to succeed
    <!-- run, fails -->   the last command has to fail
    <!-- run, until -->   is repeated until it prints what the next block says
    <!-- prints -->       what the block before it prints: these lines, in this order, perhaps among others

Ids, times, durations and keys are never the same twice; they count as equal, and an id that a later command uses is
the one that was really seen. A line `...` stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.program import SOURCE, Program
from tests.support.waiting import LIMIT_SECONDS

SHOWN_ADDRESS = "127.0.0.1:8420"
SHELL_LIMIT_SECONDS = 40
BLOCK = re.compile(
    r"^<!-- (?P<kind>file|serve|stop|run|prints)(?:[:,] (?P<detail>[^\n]*?))? -->\n```\w*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EVENT = re.compile(r"evt_[0-9a-f]{32}")
NEVER_THE_SAME = (
    (re.compile(r"\b(int|key|dlv|tok|job|iss|nwh|hch)_[0-9a-f]{32}"), r"\1_ID"),
    (EVENT, "evt_ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|seconds)\b"), "AWHILE"),
    (re.compile(r"\bxdk_[\w-]{43}"), "KEY"),
    (re.compile(r"(?i)^(date): .*"), r"\1"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    detail: str
    text: str
    line: int


def blocks(document: str) -> Iterator[Block]:
    """The marked blocks of a document, in order."""
    for found in BLOCK.finditer(document):
        line = document.count("\n", 0, found.start()) + 1
        yield Block(found["kind"], found["detail"] or "", found["text"], line)


class Walkthrough:
    """A folder, a shell and a server for one document."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program: Program | None = None
        self._output = ""
        self._last = Block("run", "", "", 0)
        self._seen: dict[str, str] = {}
        self._make_commands()

    def __enter__(self) -> Walkthrough:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._program is not None:
            self._program.stop()

    def follow(self, block: Block) -> None:
        match block.kind:
            case "file":
                self._write(block.detail, block.text)
            case "serve":
                self._serve(block)
            case "stop":
                assert self._program is not None, f"line {block.line}: nothing runs"
                self._program.stop()
            case "run":
                self._last = block
                if block.detail != "until":
                    self._run(block)
            case "prints":
                self._compare(block)

    def _make_commands(self) -> None:
        """`crossdock` and `.venv/bin/activate`, as they are where the project is installed."""
        commands = self._folder / ".venv" / "bin"
        commands.mkdir(parents=True)
        crossdock = commands / "crossdock"
        crossdock.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m crossdock "$@"\n')
        crossdock.chmod(0o755)
        (commands / "activate").write_text(f'PATH="{commands}:$PATH"\n')
        self._commands = commands

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _serve(self, block: Block) -> None:
        words = shlex.split(block.text, comments=True)
        start = words.index("serve") if "serve" in words else words.index("scripts/run")
        settings = dict(word.removeprefix("CROSSDOCK_").lower().split("=", 1) for word in words[:start] if "=" in word)
        if self._program is not None:
            self._program.stop()
        self._program = Program(self._folder, settings=settings, arguments=words[start + 1 :])
        self._program.start()

    def _run(self, block: Block) -> None:
        keep = "export -p | grep -v CROSSDOCK_URL= >.shell"  # a server that is started again has another address
        script = f"trap '{keep}' EXIT; [ ! -e .shell ] || . ./.shell; set -e\n{self._actual(block.text)}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SHELL_LIMIT_SECONDS,
            check=False,
        )
        self._output = done.stdout.decode(errors="replace")
        assert (done.returncode != 0) is (block.detail == "fails"), self._trouble(block, "it ended otherwise than said")

    def _compare(self, block: Block) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while self._last.detail == "until":
            self._run(self._last)
            if self._missing(block) is None or time.monotonic() > deadline:
                break
        missing = self._missing(block)
        assert missing is None, self._trouble(block, f"not printed: {missing}")

    def _missing(self, block: Block) -> str | None:
        """The first expected line that was not printed; event ids of the others are remembered."""
        printed = iter(self._output.splitlines())
        for expected in filter(_says_something, block.text.splitlines()):
            for line in printed:
                if self._same(expected, line):
                    self._seen |= zip(EVENT.findall(expected), EVENT.findall(line), strict=True)
                    break
            else:
                return expected
        return None

    def _same(self, expected: str, line: str) -> bool:
        return _plain(expected) == _plain(line.replace(self._address, SHOWN_ADDRESS))

    def _actual(self, text: str) -> str:
        """The commands with this server's address, and the ids that were really seen."""
        text = text.replace(SHOWN_ADDRESS, self._address)
        return EVENT.sub(lambda found: self._seen[found[0]], text)

    @property
    def _address(self) -> str:
        return self._program.url.removeprefix("http://") if self._program is not None else SHOWN_ADDRESS

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
        ours = {
            "CROSSDOCK_URL": f"http://{self._address}",
            "CROSSDOCK_DATA": str(self._folder / "data"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), kept.get("PYTHONPATH")])),
            "PATH": f"{self._commands}:{kept['PATH']}",
        }
        return kept | ours

    def _trouble(self, block: Block, what: str) -> str:
        log = self._program.log[-1500:] if self._program is not None else ""
        return f"line {block.line}: {what}\n--- printed\n{self._output}\n--- the server's log\n{log}"


def _says_something(line: str) -> bool:
    return bool(line.strip()) and line.strip() != "..."


def _plain(line: str) -> str:
    for pattern, same in NEVER_THE_SAME:
        line = pattern.sub(same, line)
    return line.strip()
