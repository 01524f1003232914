"""What keeps the house small: the tail of lengths, cycles, names. The reasons are in CONTRIBUTING.md."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter

from tests.house.tree import Module, imported_by, modules

FILE_LINES = 500
FUNCTION_LINES = 60
POSITIONAL_ARGUMENTS = 6
ARGUMENTS = 10
"""The aim is five, keyword-only after the second; what needs more than ten wants a dataclass."""

VAGUE = {"manager", "helper", "helpers", "util", "utils", "common", "base", "misc", "data", "info"}
READ_BY_FRAMEWORKS = ("crossdock.cli", "crossdock.api.routes")
"""Each option of a command, each parameter of a query is an argument there, because a framework reads them so."""


def test_files_are_short():
    long = [f"{module.path}: {length}" for module in modules() if (length := module.text.count("\n")) > FILE_LINES]

    assert long == []


def test_functions_are_short():
    long = [
        f"{module.where(function)}: {length}"
        for module in modules()
        if ".migrations.versions." not in module.name  # a list of tables, frozen once released
        for function in module.functions()
        if (length := (function.end_lineno or function.lineno) - function.lineno + 1) > FUNCTION_LINES
    ]

    assert long == []


def test_functions_take_few_arguments():
    wide = [
        module.where(function)
        for module in modules()
        if not module.name.startswith(READ_BY_FRAMEWORKS)
        for function in module.functions()
        if _positional(function) > POSITIONAL_ARGUMENTS or _positional(function) + _named(function) > ARGUMENTS
    ]

    assert wide == []


def test_no_import_cycle():
    known = frozenset(module.name for module in modules())
    graph = {module.name: imported_by(module, known) for module in modules()}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_module_names_say_what_is_inside():
    vague = [module.name for module in modules() if VAGUE & set(re.split(r"[._]", module.name))]

    assert vague == []


def test_modules_say_what_they_are_for():
    silent = [module.name for module in modules() if module.text.strip() and not _says_something(module)]

    assert silent == []


def test_nothing_is_put_off():
    unfinished = [
        f"{module.path}:{number}"
        for module in modules()
        for number, line in enumerate(module.text.splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line)
    ]

    assert unfinished == []


def _says_something(module: Module) -> bool:
    first = module.tree.body[0]
    value = getattr(first, "value", None)
    return isinstance(getattr(value, "value", None), str)


def _positional(function) -> int:
    given = [*function.args.posonlyargs, *function.args.args]
    return sum(1 for argument in given if argument.arg not in ("self", "cls"))


def _named(function) -> int:
    return len(function.args.kwonlyargs)
