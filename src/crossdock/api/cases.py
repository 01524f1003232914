"""How routes get at the use cases."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from crossdock.manage.use_cases import UseCases


async def _use_cases(request: Request) -> UseCases:
    cases: UseCases = request.app.state.use_cases
    return cases


Cases = Annotated[UseCases, Depends(_use_cases)]
