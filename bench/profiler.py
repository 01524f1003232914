"""Where the time goes: py-spy where it is installed, which sees all threads, else cProfile on the main thread."""

from __future__ import annotations

import pstats
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import Program

TOP = 25


class Profiler:
    """Profiles one scenario into `folder` and can tell the top functions."""

    def __init__(self, folder: Path, name: str) -> None:
        self._py_spy = shutil.which("py-spy")
        self._path = folder / f"{name}.{'svg' if self._py_spy else 'pstats'}"
        folder.mkdir(parents=True, exist_ok=True)

    def launcher(self) -> Sequence[str]:
        if self._py_spy:
            return (sys.executable, "-m", "crossdock")
        return (sys.executable, "-m", "cProfile", "-o", str(self._path.absolute()), "-m", "crossdock")

    @contextmanager
    def watching(self, program: Program, seconds: float) -> Iterator[None]:
        if not self._py_spy or program.process is None:
            yield
            return
        command = [self._py_spy, "record", "--pid", str(program.process.pid), "--duration", str(max(1, int(seconds)))]
        command += ["--output", str(self._path), "--rate", "200", "--threads"]
        watcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        yield
        watcher.wait()

    def report(self) -> str:
        """Where the profile is; for cProfile also the functions that took most."""
        if self._path.suffix == ".pstats" and self._path.exists():
            stats = pstats.Stats(str(self._path))
            stats.strip_dirs().sort_stats("tottime").print_stats(TOP)
        return f"profile: {self._path}"
