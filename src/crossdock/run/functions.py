"""The Python functions that workflows call: found, called with a limit of time, and their failures told apart.

A function is `module:name`. The module is a file of the workflows folder, or one that an installed package offers
under the entry point group `crossdock.functions`; nothing else can be called, because whoever may write a workflow
may not thereby run any code that happens to be installed.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from crossdock.model.gate import OPEN, Gate
from crossdock.model.outcome import Json
from crossdock.run.modules import FolderModules
from crossdock.run.processes.environment import reduced
from crossdock.run.processes.pool import Counts, NotThere, Processes, Raised
from crossdock.run.processes.worker import Plan
from crossdock.run.raised import described
from crossdock.run.threads import Threads, run_on_loop

ENTRY_POINT_GROUP = "crossdock.functions"
FUNCTION_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z]\w*")


class FunctionMissing(LookupError):
    """There is no such function; the message says what there is instead."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it was when it was found: a change of the folder does not touch it."""

    name: str
    callable: Callable[..., Any]
    is_async: bool
    takes_context: bool


@dataclass(frozen=True, slots=True)
class Isolation:
    """What functions with a process of their own may have."""

    processes: int = 2
    """So many at once."""
    memory: int = 512 * 1024**2
    """Bytes of address space of each."""
    environment: Collection[str] = ()
    """Environment variables that they get besides those that Python needs."""


class Functions:
    """The functions of the folder and of installed packages. Create, call and close it on the event loop."""

    def __init__(
        self, folder: Path | None, threads: int, isolation: Isolation = Isolation(), *, gate: Gate = OPEN
    ) -> None:
        self.folder = folder.resolve() if folder is not None else None
        self._modules = FolderModules(folder) if folder is not None else None
        self._gate = gate
        self._threads = Threads(threads, gate)
        environment = reduced(os.environ, isolation.environment)
        shown = None if self.folder is None else str(self.folder)
        self._processes = Processes(isolation.processes, Plan(isolation.memory, environment, shown), gate=gate)
        self.expressions = Processes(isolation.processes, Plan(isolation.memory, reduced(os.environ)))
        """Processes for what is quick and pure, but can't be bounded here: it never waits behind functions."""
        self._found: dict[str, Function] = {}
        self._is_news = False
        self._read()

    def refresh(self) -> list[str]:
        """Read the folder again if a file in it has changed; what is wrong with its modules, with file and line, unless
        that was told before. The first call tells what was wrong at the start.

        Modules that can't be imported stay what they were, and so do functions that are being called.
        """
        self._read()
        news, self._is_news = self._is_news, False
        return self.problems if news else []

    def _read(self) -> None:
        if self._modules is not None and self._modules.refresh():
            self._found = {}
            self._is_news = True
            self._processes.renew(self._modules.sources())

    @property
    def problems(self) -> list[str]:
        """What is wrong with the folder's modules as they are now."""
        return sorted(self._modules.problems.values()) if self._modules is not None else []

    @property
    def hanging(self) -> int:
        """Calls that ran out of time and have not returned."""
        return self._threads.hanging

    @property
    def counts(self) -> dict[str, Counts]:
        """What the worker processes do, by what they are for."""
        return {"functions": self._processes.counts, "expressions": self.expressions.counts}

    def find(self, name: str) -> Function:
        """The function; FunctionMissing says why there is none."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._look_up(name)
        return found

    def problem(self, name: str) -> str | None:
        """Why there is no such function; None when there is."""
        try:
            self.find(name)
        except FunctionMissing as missing:
            return str(missing)
        return None

    def misfit(self, name: str, arguments: Collection[str]) -> str | None:
        """Why the function can't be called with arguments of these names; None when it can, or when nobody can tell."""
        function = self.find(name)
        given = dict.fromkeys([*arguments, "context"] if function.takes_context else arguments)
        try:
            signature = inspect.signature(function.callable)
        except (TypeError, ValueError):  # a function written in C may not tell
            return None
        try:
            signature.bind(**given)
        except TypeError as error:
            return f"{name}{signature} can't be called so: {error}"
        return None

    async def call(self, function: Function, arguments: Mapping[str, Json], context: Json, timeout: float) -> Any:
        """What the function returns or raises; TimedOut after `timeout` seconds, TooManyHang.

        What it raises is always an Exception, even if it tried to end the process.
        """
        given = _given(function, arguments, context)
        if function.is_async:
            return await run_on_loop(lambda: function.callable(**given), timeout, self._gate)
        return await self._threads.run(lambda: function.callable(**given), timeout)

    async def call_isolated(
        self, function: Function, arguments: Mapping[str, Json], context: Json, timeout: float
    ) -> Json:
        """What the function returns or raises in a worker process; TimedOut, OutOfMemory, ProcessDied, AllBusy,
        NotJson, Raised, FunctionMissing."""
        try:
            return await self._processes.call(function.name, _given(function, arguments, context), timeout)
        except NotThere as missing:
            raise FunctionMissing(str(missing)) from None

    def describe(self, error: BaseException) -> str:
        """What a function raised, in one line: type, text, and the place in the user's code."""
        if isinstance(error, Raised):
            return str(error)
        return described(error, self.folder)

    def close(self) -> None:
        self._threads.close()
        self._processes.close()
        self.expressions.close()
        if self._modules is not None:
            self._modules.close()

    def _look_up(self, name: str) -> Function:
        if not FUNCTION_NAME.fullmatch(name):
            raise FunctionMissing(f"{name!r} is not written as module:name")
        module_name, _, function_name = name.partition(":")
        module = self._module(module_name)
        found = getattr(module, function_name, None)
        if not callable(found) or inspect.isclass(found) or not self._is_own(found, module):
            raise FunctionMissing(f"{module_name} has no function {function_name!r}{_names_in(module)}")
        return Function(name, found, inspect.iscoroutinefunction(found), _takes_context(found))

    def _module(self, name: str) -> ModuleType:
        if self._modules is not None and name in self._modules.loaded:
            return self._modules.loaded[name]
        if self._modules is not None and name in self._modules.problems:
            raise FunctionMissing(f"the module can't be imported: {self._modules.problems[name]}")
        if name in self._offered:
            try:
                return importlib.import_module(name)
            except Exception as error:
                raise FunctionMissing(f"the module can't be imported: {described(error, None)}") from None
        if self._modules is None:
            raise FunctionMissing(f"there is no module {name!r}; start the server with --workflows FOLDER to add one")
        there = ", ".join(sorted(self._modules.loaded)) or "none"
        raise FunctionMissing(f"there is no module {name!r} in the workflows folder; there are: {there}")

    @cached_property
    def _offered(self) -> frozenset[str]:
        return frozenset(entry.module for entry in entry_points(group=ENTRY_POINT_GROUP))

    def _is_own(self, found: Any, module: ModuleType) -> bool:
        """Whether the function was written there: what a module merely imports is no function of it."""
        home = getattr(found, "__module__", None)
        return home == module.__name__ or (self._modules is not None and home in self._modules.loaded)


def _given(function: Function, arguments: Mapping[str, Json], context: Json) -> dict[str, Json]:
    given = dict(arguments)
    if function.takes_context and "context" not in given:
        given["context"] = context
    return given


def _takes_context(function: Callable[..., Any]) -> bool:
    try:
        parameter = inspect.signature(function).parameters.get("context")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def _names_in(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    shown = sorted(name for name in names if not name.startswith("_"))[:12]
    return f"; there are: {', '.join(shown)}" if shown else ""
