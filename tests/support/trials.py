"""Trials over a store, with the real compiler and the real walk."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from crossdock.catalog import Catalog
from crossdock.clock import Clock
from crossdock.deliver.preview import preview_reply
from crossdock.manage.trials import TrialPorts, Trials
from crossdock.receive.preview import preview_answer
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions
from crossdock.run.outside import Outside
from crossdock.run.trials import TrialRunner
from crossdock.store import Store
from tests.support.outside import outside_of


class Silent:
    """Stands for systems that never answer. `begun` and `ended` tell of calls of them."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def call(self, *given: object) -> NoReturn:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        raise AssertionError("nobody answers")


def trials_of(store: Store, catalog: Catalog, clock: Clock, outside: Outside | None = None) -> Trials:
    runner = TrialRunner(outside or outside_of(Functions(None, 1)), catalog, clock)
    return Trials(TrialPorts(store, catalog, clock, compile_workflow, runner, preview_answer, preview_reply))
