"""Calling a system for a step: the connection's address and credentials are put in here and nowhere else."""

from __future__ import annotations

from crossdock.model.delivery import SendReport
from crossdock.outbound.client import HttpSender, SendLimits
from crossdock.outbound.connection import HttpConnection
from crossdock.outbound.request import HttpRequest


class HttpCaller:
    def __init__(self, sender: HttpSender) -> None:
        self._sender = sender

    async def call(self, request: HttpRequest, connection: HttpConnection | None) -> SendReport:
        """Send one request and report; nothing that the other side does raises."""
        limits = SendLimits(request.timeout or 30.0, request.response_bytes)
        return await self._sender.send(request.method, request.url, request.headers, request.body, limits)
