"""The modules of the workflows folder: imported, watched, and replaced when they change.

They are found by a finder at the very end of the import system, so they can import one another and anything that is
installed, and can't stand in front of either. They are compiled from their source each time: Python's own cache goes
by whole seconds, and would miss a second change within one.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeAlias

from crossdock.model.value import value
from crossdock.run.raised import described

_Stamp: TypeAlias = dict[Path, tuple[int, int]]


@value
class Source:
    """A module's text, as it was when it was imported."""

    text: str
    path: str
    is_package: bool


class _FolderLoader(SourceFileLoader):
    source: Source

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        content = self.get_data(path)
        code: CodeType = self.source_to_code(content, path)
        self.source = Source(importlib.util.decode_source(content), path, self.is_package(fullname))
        return code


class _FolderFinder(MetaPathFinder):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self._folder.joinpath(*fullname.split("."))
        if place.with_suffix(".py").is_file():
            return self._spec(fullname, place.with_suffix(".py"), is_package=False)
        if (place / "__init__.py").is_file():
            return self._spec(fullname, place / "__init__.py", is_package=True)
        return ModuleSpec(fullname, None, is_package=True) if place.is_dir() else None

    def _spec(self, name: str, file: Path, *, is_package: bool) -> ModuleSpec | None:
        loader = _FolderLoader(name, str(file))
        spec = importlib.util.spec_from_file_location(name, file, loader=loader)
        if spec is not None and is_package:
            # A package gets no search path of its own: Python's finders would come first in it, with their cache.
            spec.submodule_search_locations = []
        return spec


class FolderModules:
    """What the folder's modules were when they last could be imported."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._finder = _FolderFinder(self._folder)
        self._stamp: _Stamp | None = None
        self.loaded: dict[str, ModuleType] = {}
        self.problems: dict[str, str] = {}
        """Why a module could not be imported, by its name."""
        sys.meta_path.append(self._finder)

    def refresh(self) -> bool:
        """Import everything anew if a file has changed; whether it had. A module that can't be imported stays what it
        was. Runs the modules' own code, so call it in a thread."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = dict(self.loaded)
        self._forget(before)
        importlib.invalidate_caches()
        loaded: dict[str, ModuleType] = {}
        problems: dict[str, str] = {}
        for name in sorted(self._names(stamp)):
            try:
                loaded[name] = self._import(name)
            except (Exception, SystemExit) as error:
                problems[name] = f"{name}: {described(error, self._folder)}"
        for name in problems.keys() & before.keys():
            loaded[name] = sys.modules[name] = before[name]
        self.loaded, self.problems = loaded, problems
        return True

    def sources(self) -> dict[str, Source]:
        """The text of each module that is in use, which may be older than its file."""
        loaders = {name: module.__loader__ for name, module in self.loaded.items()}
        return {name: loader.source for name, loader in loaders.items() if isinstance(loader, _FolderLoader)}

    def close(self) -> None:
        self._forget(self.loaded)
        sys.meta_path.remove(self._finder)

    def _look(self) -> _Stamp:
        stamp: _Stamp = {}
        for path in sorted(self._folder.rglob("*.py")):
            if any(part.startswith(".") for part in path.relative_to(self._folder).parts):
                continue
            try:
                status = path.stat()
            except OSError:  # removed since it was listed
                continue
            stamp[path] = (status.st_mtime_ns, status.st_size)
        return stamp

    def _names(self, stamp: _Stamp) -> list[str]:
        names = []
        for path in stamp:
            parts = path.relative_to(self._folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if parts and all(part.isidentifier() for part in parts):
                names.append(".".join(parts))
        return names

    def _import(self, name: str) -> ModuleType:
        module = importlib.import_module(name)
        if not isinstance(module.__loader__, _FolderLoader):
            raise ImportError(f"an installed module has the name {name!r} already; rename the file")
        return module

    def _forget(self, modules: dict[str, ModuleType]) -> None:
        for name, module in list(sys.modules.items()):
            if name in modules or isinstance(getattr(module, "__loader__", None), _FolderLoader):
                del sys.modules[name]
