"""Property: along its own record, an unchanged workflow shows no difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossdock.model.comparison import Comparison, Verdict
from crossdock.run.functions import Functions
from tests.run.generating import SOURCE, bodies, workflows
from tests.run.trials.along import acting, go_along, live_through
from tests.run.walking import write


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    folder = tmp_path_factory.mktemp("workflows")
    write(folder, "acting.py", SOURCE)
    made = Functions(folder, 2)
    yield made
    made.close()


@settings(suppress_health_check=list(HealthCheck), max_examples=100)
@given(steps=workflows(), body=bodies, lost_after=st.none() | st.integers(0, 6))
def test_an_unchanged_workflow_shows_no_difference(
    functions: Functions, steps: list[Any], body: Any, lost_after: int | None
) -> None:
    functions.find("acting:act").callable.__globals__["calls"].clear()

    async def live_and_go_along() -> Comparison:
        world = acting(functions)
        world.lose_after = lost_after
        past = await live_through(world, steps, body)
        return (await go_along(world, past, steps))[1]

    comparison = anyio.run(live_and_go_along)

    assert comparison.document()["differences"] == []
    assert comparison.steps == ()
    assert (comparison.verdict, comparison.reason) == (Verdict.UNCHANGED, "")
