"""FastAPI, Celery and Redis: a task whose result the caller waits for. `PEER_REDIS` is the server's URL."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

tasks = Celery("peer", broker=os.environ["PEER_REDIS"], backend=os.environ["PEER_REDIS"])
tasks.conf.update(result_expires=600, worker_prefetch_multiplier=16, task_acks_late=True)
application = FastAPI()


@tasks.task  # type: ignore[untyped-decorator]
def handle(body: dict[str, Any]) -> dict[str, Any]:
    order = {"number": body["number"], "customer": body["customer"]["id"], "total": body["quantity"] * body["price"]}
    return {"order": order}


@application.post("/hook")
async def hook(request: Request) -> Any:
    pending = handle.delay(await request.json())
    return await run_in_threadpool(pending.get, timeout=10)


@application.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ready": True}
