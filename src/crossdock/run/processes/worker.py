"""One worker process, seen from the server: begun, asked, ended, and its end told in words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from crossdock.model.expression import OUTPUT_BYTES
from crossdock.model.value import value
from crossdock.run.modules import Source
from crossdock.run.processes.frames import HEAD, SLACK_BYTES, Answer, Ask, packed
from crossdock.run.raised import innermost

PRINTED_BYTES = 8 * 1024
"""So much of what functions print is kept: the end of it."""
TRACE_TRIES, TRACE_SECONDS = 50, 0.005
"""For a process that ran out of time to say where it was."""
EXIT_SECONDS = 1.0
"""For a process that has closed its channel to come to its end by itself, so that its exit code can be told."""
_ANSWERS = frozenset(Answer)
_PIPE_BYTES = 64 * 1024
_FRAME = re.compile(r'^  File "(.+)", line (\d+)', re.MULTILINE)


@value
class Plan:
    """What a worker process begins with."""

    memory: int
    """Bytes of address space."""
    environment: Mapping[str, str]
    folder: str | None = None
    sources: Mapping[str, Source] | None = None
    """The modules of the workflows folder, by name."""

    def set_up(self) -> bytes:
        sources = {
            name: {"text": source.text, "path": source.path, "is_package": source.is_package}
            for name, source in (self.sources or {}).items()
        }
        return json.dumps({"memory": self.memory, "folder": self.folder, "sources": sources}).encode()


class Ended(Exception):
    """The process came to its end before it had answered. The message says how, in words."""

    def __init__(self, words: str, *, code: int | None) -> None:
        super().__init__(words)
        self.code = code
        """As `subprocess` tells it: negative for a signal. None when it had to be ended for what it sent."""


class Worker:
    """One process. Everything here happens on the event loop, for one call at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loaded: set[str] = set()
        """Functions that it has found."""
        self._is_spent = False
        self._is_asked = False
        self._is_set_up = False
        self._folder = Path(plan.folder) if plan.folder is not None else None
        self._number = 0
        self._printed = b""
        self._has_ended = False
        self._loop = asyncio.get_running_loop()
        with ExitStack() as opened, ExitStack() as theirs:
            self._begin(opened, theirs)
            opened.pop_all()
        self._loop.add_reader(self._output, self._note_printed)

    def _begin(self, opened: ExitStack, theirs: ExitStack) -> None:
        """Begin the process. `opened` would be closed if that fails, and its own ends are closed here in any case."""
        self._channel, channel = socket.socketpair()
        opened.callback(self._channel.close)
        theirs.callback(channel.close)
        life, self._life = _pipe(theirs, opened)
        self._trace, trace = _pipe(opened, theirs)
        self._output, output = _pipe(opened, theirs)
        self._channel.setblocking(False)
        os.set_blocking(self._trace, False)
        os.set_blocking(self._output, False)
        inherited = (channel.fileno(), life, trace)
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-u", "-P", "-m", "crossdock.run.processes.inside", *map(str, inherited)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(self.plan.environment),
            pass_fds=inherited,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    # --- asking ----------------------------------------------------------------------------------------------------

    async def ask(self, kind: Ask, content: bytes) -> tuple[Answer, bytes]:
        """Its answer; Ended. A process that was asked and did not answer is no longer usable."""
        if not self._is_set_up:
            self._is_set_up = True
            await self.ask(Ask.SET_UP, self.plan.set_up())
        self._is_asked = True
        self._number += 1
        try:
            await self._loop.sock_sendall(self._channel, packed(kind, self._number, content))
            answer, is_last, number, size = HEAD.unpack(await self._receive(HEAD.size))
            if number != self._number or answer not in _ANSWERS or size > OUTPUT_BYTES + SLACK_BYTES:
                self.end()
                raise Ended("it answered what it was not asked, and was ended", code=None)
            received = await self._receive(size)
        except ConnectionError:
            raise await self._ended() from None
        self._is_spent = is_last
        self._is_asked = False
        return Answer(answer), bytes(received)

    async def _receive(self, size: int) -> bytearray:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            count = await self._loop.sock_recv_into(self._channel, view)
            if not count:
                raise ConnectionResetError
            view = view[count:]
        return content

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked again."""
        return not (self._is_asked or self._is_spent or self._has_ended)

    @property
    def is_there(self) -> bool:
        """Whether it lives, and has not said anything that it was not asked."""
        try:
            self._channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def where(self) -> str | None:
        """The place in the user's code where it is, such as `orders.py:12`; None when it does not say so at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
        for _ in range(TRACE_TRIES):
            place = self._read_place()
            if place is not None:
                return place
            await asyncio.sleep(TRACE_SECONDS)
        return None

    def _read_place(self) -> str | None:
        with contextlib.suppress(BlockingIOError):
            found = _FRAME.findall(os.read(self._trace, _PIPE_BYTES).decode(errors="replace"))
            return innermost(((file, int(line)) for file, line in reversed(found)), self._folder)
        return None

    # --- what functions print --------------------------------------------------------------------------------------

    def take_printed(self) -> str:
        """The end of what was printed since it was last asked for."""
        if not self._has_ended:
            self._note_printed()
        printed, self._printed = self._printed, b""
        return printed.decode(errors="replace")

    def _note_printed(self) -> None:
        """Once: who prints without end must not keep the event loop."""
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self._output, _PIPE_BYTES)
            if not piece and not self._loop.is_closed():  # closed at the other end
                self._loop.remove_reader(self._output)
            self._printed = (self._printed + piece)[-PRINTED_BYTES:]

    # --- the end ---------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End the process and whatever it has started, at once. It is reaped by `reap`."""
        if self._has_ended:
            return
        self._note_printed()
        self._has_ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left of the group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._close()

    def reap(self, seconds: float) -> None:
        """Wait until nothing is left of the process that has been ended. Blocks."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel holds it; `subprocess` reaps it later
            self._process.wait(seconds)

    async def _ended(self) -> Ended:
        """Its end, which it came to by itself."""
        code = await asyncio.to_thread(self._await_exit)
        place = self._read_place()
        self.end()
        await asyncio.to_thread(self.reap, EXIT_SECONDS)
        if code is None:
            return Ended("it closed its connection to the server, and was ended", code=None)
        return Ended(end_in_words(code) + (f" ({place})" if place else ""), code=code)

    def _await_exit(self) -> int | None:
        """Its exit code, as soon as it has one. The process is not reaped, so that its id stays its own, and its group
        can be ended after it without hitting anybody else."""
        deadline = time.monotonic() + EXIT_SECONDS
        while time.monotonic() < deadline:
            status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if status is not None:
                return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
            time.sleep(0.002)
        return None

    def _close(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self._output)
        self._channel.close()
        for descriptor in (self._life, self._trace, self._output):
            os.close(descriptor)


def _pipe(read: ExitStack, write: ExitStack) -> tuple[int, int]:
    """A pipe; each stack closes its end."""
    ends = os.pipe()
    read.callback(os.close, ends[0])
    write.callback(os.close, ends[1])
    return ends


def end_in_words(code: int) -> str:
    """What an exit code, negative for a signal, tells."""
    if code >= 0:
        return f"it ended itself with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    words = (signal.strsignal(-code) or "").lower()
    hint = "; the system does so when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was ended by {name}{f' ({words})' if words else ''}{hint}"
