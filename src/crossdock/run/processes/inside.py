"""What runs in a worker process: it makes the calls that the server asks for, one after the other.

    python -m crossdock.run.processes.inside CHANNEL LIFE TRACE

The arguments are file descriptors. CHANNEL carries the frames. LIFE is a pipe that the server holds open and never
writes to: when the server is gone, however that came, this process and whatever it has started end with it. TRACE
takes the place in the code at a crash, or when the server asks for it by SIGUSR1.

Imported are the standard library, and what is needed of our own: each worker process pays for it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import importlib
import inspect
import json
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from importlib._abc import Loader  # `importlib.abc` brings a good part of the standard library along
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from crossdock import workflows
from crossdock.run.plain import NotJson, plain
from crossdock.run.processes.frames import EXIT_OUT_OF_MEMORY, HEAD, Answer, Ask, packed
from crossdock.run.raised import catchable, described, said


def main() -> None:
    channel, life, trace = map(int, sys.argv[1:4])
    for descriptor in (channel, life, trace):
        os.set_inheritable(descriptor, False)
    die_with(life)
    faulthandler.enable(trace, all_threads=False)
    for number in (signal.SIGUSR1, signal.SIGXCPU):
        faulthandler.register(number, trace, all_threads=False, chain=number == signal.SIGXCPU)
    os.environ.pop("PYTHONPATH", None)  # it stands for the server's own path, which only this process needs
    try:
        Inside(channel).work()
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)


def die_with(life: int) -> None:
    """End this process's whole group as soon as nobody holds the other end of the pipe `life`.

    Linux does it by itself, even when a function never lets Python's other threads run; elsewhere a thread waits.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([life], [], [], 0)[0]:  # it happened before
            _end_group()
    else:
        threading.Thread(target=_wait_for_end, args=(life,), daemon=True).start()


def _wait_for_end(life: int) -> None:
    os.read(life, 1)
    _end_group()


def _end_group() -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


class ServerGone(Exception):
    """Nobody is at the channel's other end."""


class Function:
    """A function that was found, ready to be called."""

    def __init__(self, called: Callable[..., Any], run: Callable[[Coroutine[Any, Any, Any]], Any] | None) -> None:
        self._called = called
        self._run = run

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        returned = self._called(**arguments)
        return returned if self._run is None else self._run(returned)


class Inside:
    """The work of one process."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._folder: Path | None = None
        self._memory = 0
        self._size_at_first = 0
        self._functions: dict[str, Function] = {}
        self._run: Callable[[Coroutine[Any, Any, Any]], Any] | None = None
        # A child that a function forks is nobody whom the server has asked.
        os.register_at_fork(after_in_child=self._leave)

    def work(self) -> None:
        with contextlib.suppress(ServerGone):
            while True:
                kind, _, number, size = HEAD.unpack(self._receive(HEAD.size))
                answer, content = self._answer(kind, self._receive(size))
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(Exception):  # closed or replaced by the function
                        stream.flush()
                self._send(packed(answer, number, content, is_last=self._is_spent(answer)))

    def _answer(self, kind: int, content: bytes) -> tuple[Answer, bytes]:
        try:
            match kind:
                case Ask.SET_UP:
                    return self._set_up(**json.loads(content))
                case Ask.LOAD:
                    return self._load(json.loads(content))
                case _:
                    return self._call(*json.loads(content))
        except MemoryError as error:
            return Answer.OUT_OF_MEMORY, _text(described(error, self._folder))

    def _set_up(self, memory: int, folder: str | None, sources: dict[str, dict[str, Any]]) -> tuple[Answer, bytes]:
        self._folder = None if folder is None else Path(folder)
        self._memory = memory
        sys.meta_path.append(_SourceFinder(sources))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with contextlib.suppress(OSError):  # Linux: when memory runs out, end this process and not the server
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        return Answer.READY, b""

    # --- one call --------------------------------------------------------------------------------------------------

    def _load(self, name: str) -> tuple[Answer, bytes]:
        module_name, _, function_name = name.partition(":")
        try:
            called = getattr(importlib.import_module(module_name), function_name)
        except MemoryError:
            raise
        except BaseException as error:
            return Answer.MISSING, _text(f"in its own process: {described(catchable(error), self._folder)}")
        self._functions[name] = Function(called, self._runner() if inspect.iscoroutinefunction(called) else None)
        if not self._size_at_first:
            self._size_at_first = _size()
        return Answer.READY, b""

    def _runner(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        """Runs coroutines on one event loop, so that what functions keep between calls stays usable."""
        if self._run is None:
            import asyncio  # most workers do without it

            self._run = asyncio.Runner().run
        return self._run

    def _call(self, name: str, cpu_seconds: int, arguments: dict[str, Any]) -> tuple[Answer, bytes]:
        limit_cpu(cpu_seconds)
        try:
            return Answer.RETURNED, _json(plain(self._functions[name](arguments)))
        except MemoryError:
            raise
        except NotJson as problem:
            return Answer.NOT_JSON, _text(str(problem))
        except workflows.Retry as again:
            return Answer.RETRY, _text([said(again), _number(again.after_seconds)])
        except workflows.Stop as stop:
            return Answer.STOP, _text([said(stop), str(stop.kind)])
        except BaseException as error:
            return Answer.RAISED, _text(described(catchable(error), self._folder))

    def _is_spent(self, answer: Answer) -> bool:
        """Whether functions have left so much behind that the next call should find a new process."""
        if answer is Answer.OUT_OF_MEMORY:
            return True
        return _size() - self._size_at_first > (self._memory - self._size_at_first) // 2

    # --- the channel -----------------------------------------------------------------------------------------------

    def _receive(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            piece = os.read(self._channel, min(size - len(content), 1024 * 1024))
            if not piece:
                raise ServerGone
            content += piece
        return bytes(content)

    def _send(self, frame: bytes) -> None:
        view = memoryview(frame)
        while view:
            view = view[os.write(self._channel, view) :]

    def _leave(self) -> None:
        os.close(self._channel)
        self._channel = -1


def limit_cpu(seconds: int) -> None:
    """End this process once it has used so many more seconds of CPU time, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def _size() -> int:
    """Bytes of address space in use, which is what is limited; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _text(value: Any) -> bytes:
    """As ASCII: an error's text may have what is no character."""
    return json.dumps(value).encode()


class _SourceFinder:
    """Finds the modules of the workflows folder as the server has read them, whatever the folder looks like by now."""

    def __init__(self, sources: dict[str, dict[str, Any]]) -> None:
        self._sources = sources

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        source = self._sources.get(name)
        if source is not None:
            loader = _SourceLoader(source["text"], source["path"])
            spec = ModuleSpec(name, loader, origin=source["path"], is_package=source["is_package"])
            spec.has_location = True
            return spec
        if any(known.startswith(f"{name}.") for known in self._sources):
            return ModuleSpec(name, None, is_package=True)
        return None


class _SourceLoader(Loader):
    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = path

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._text, self._path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102


if __name__ == "__main__":
    main()
