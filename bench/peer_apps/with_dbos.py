"""FastAPI and DBOS: a durable workflow of two steps, awaited by the caller. `PEER_DATABASE` is its system database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dbos import DBOS, DBOSConfig
from fastapi import FastAPI, Request

configuration: DBOSConfig = {"name": "peer", "system_database_url": os.environ["PEER_DATABASE"], "log_level": "ERROR"}
DBOS(config=configuration)


@asynccontextmanager
async def launched(_: FastAPI) -> AsyncIterator[None]:
    DBOS.launch()
    yield
    DBOS.destroy()


application = FastAPI(lifespan=launched)


@DBOS.step()
async def build_order(body: dict[str, Any]) -> dict[str, Any]:
    return {"number": body["number"], "customer": body["customer"]["id"], "total": body["quantity"] * body["price"]}


@DBOS.step()
async def build_answer(order: dict[str, Any]) -> dict[str, Any]:
    return {"order": order}


@DBOS.workflow()
async def handle(body: dict[str, Any]) -> dict[str, Any]:
    return await build_answer(await build_order(body))


@application.post("/hook")
async def hook(request: Request) -> dict[str, Any]:
    return await handle(await request.json())


@application.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ready": True}
