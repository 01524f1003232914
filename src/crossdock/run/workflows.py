"""Compiled workflows by integration and version: versions never change, so each is compiled once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from crossdock.model.outcome import Json
from crossdock.run.compile import CompiledWorkflow, compile_workflow

ReadWorkflow: TypeAlias = Callable[[str, int], Awaitable[Json]]

KEPT = 512


class Workflows:
    """`read` fetches a version's document."""

    def __init__(self, read: ReadWorkflow) -> None:
        self._read = read
        self._compiled: OrderedDict[tuple[str, int], CompiledWorkflow] = OrderedDict()

    def known(self, integration_id: str, number: int) -> CompiledWorkflow | None:
        """The version, if it was used before."""
        return self._compiled.get((integration_id, number))

    async def get(self, integration_id: str, number: int) -> CompiledWorkflow:
        """The version; LookupError when it is gone, Invalid when it does not compile any more."""
        key = (integration_id, number)
        found = self._compiled.get(key)
        if found is None:
            found = compile_workflow(await self._read(integration_id, number), number)
            self._compiled[key] = found
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        return found
