"""What steps reach in tests: only the parts that a test names are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from crossdock.run.functions import Functions
from crossdock.run.outside import Outside


class _Nothing:
    async def call(self, *given: object) -> NoReturn:
        raise AssertionError("this test reaches nothing by HTTP")

    async def execute(self, *given: object) -> NoReturn:
        raise AssertionError("this test reaches no database")


def _nobody(integration_id: str, name: str) -> NoReturn:
    raise LookupError(f"there is no {name!r} in this workspace")


def outside_of(
    functions: Functions,
    *,
    http: Any = None,
    sql: Any = None,
    find_connection: Callable[[str, str], Any] = _nobody,
    find_target: Callable[[str, str], Any] = _nobody,
) -> Outside:
    return Outside(functions, http or _Nothing(), sql or _Nothing(), find_connection, find_target)
