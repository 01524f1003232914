"""The kinds of steps: one file each, registered here under the word that people write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from crossdock.model.outcome import Json
from crossdock.run.steps.assert_ import compile_assert
from crossdock.run.steps.contract import CompiledStep, Compiling, StepContext, Steps, WorkflowStep
from crossdock.run.steps.delay import compile_delay
from crossdock.run.steps.emit import compile_emit
from crossdock.run.steps.fail import compile_fail
from crossdock.run.steps.for_each import compile_for_each
from crossdock.run.steps.http import compile_http
from crossdock.run.steps.parallel import compile_parallel
from crossdock.run.steps.python import compile_python
from crossdock.run.steps.respond import compile_respond
from crossdock.run.steps.sql import compile_sql
from crossdock.run.steps.switch import compile_switch
from crossdock.run.steps.transform import compile_transform

CompileStep: TypeAlias = Callable[[Json, str, Compiling], CompiledStep]

KINDS: dict[str, CompileStep] = {
    "transform": compile_transform,
    "http": compile_http,
    "sql": compile_sql,
    "python": compile_python,
    "respond": compile_respond,
    "assert": compile_assert,
    "fail": compile_fail,
    "switch": compile_switch,
    "parallel": compile_parallel,
    "for_each": compile_for_each,
    "delay": compile_delay,
    "emit": compile_emit,
}
"""Compiles a step's settings; the text is their place in the document. Invalid says what is wrong where."""

__all__ = ["KINDS", "CompileStep", "CompiledStep", "Compiling", "StepContext", "Steps", "WorkflowStep"]
