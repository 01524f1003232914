"""What steps ask of other systems, as parts of a trace: it is passed on, and each exchange is told."""

from __future__ import annotations

from dataclasses import replace

from crossdock.model.delivery import SendReport
from crossdock.model.trace import TraceContext, with_trace
from crossdock.outbound.connection import HttpConnection, SqlConnection
from crossdock.outbound.guard import TargetRefused
from crossdock.outbound.redaction import mask_for
from crossdock.outbound.request import HttpRequest, SqlAnswer, SqlFailed, SqlQuery
from crossdock.outbound.urls import request_url
from crossdock.run.steps.contract import StepContext
from crossdock.tracing import Attributes, SpanKind, answered, told_url

_DATABASES = {"postgres": "postgresql"}


async def call(request: HttpRequest, connection: HttpConnection | None, context: StepContext) -> SendReport:
    """Call a system. It gets the trace, unless the step or the connection sends a header for that itself."""
    if context.span is None:
        return await context.outside.http.call(_passing(request, connection, context.trace), connection)
    span = context.span.begin(f"{request.method} call", SpanKind.CLIENT, _told_request(request, connection))
    report = await context.outside.http.call(_passing(request, connection, span.context), connection)
    answered(span, report)
    return report


async def execute(query: SqlQuery, connection: SqlConnection, context: StepContext) -> SqlAnswer:
    """Carry out a statement; SqlFailed when it can't be. Databases are told no trace."""
    if context.span is None:
        return await context.outside.sql.execute(query, connection)
    span = context.span.begin("statement", SpanKind.CLIENT, _told_database(connection))
    try:
        answer = await context.outside.sql.execute(query, connection)
    except SqlFailed as failed:
        span.end(failed.kind)
        raise
    span.end(attributes={"db.response.returned_rows": len(answer.rows)})
    return answer


def _passing(request: HttpRequest, connection: HttpConnection | None, trace: TraceContext | None) -> HttpRequest:
    if trace is None:
        return request
    own = connection.headers if connection is not None else ()
    added = with_trace((*own, *request.headers), trace)[len(own) + len(request.headers) :]
    return replace(request, headers=(*request.headers, *added)) if added else request


def _told_request(request: HttpRequest, connection: HttpConnection | None) -> Attributes:
    attributes: Attributes = {"http.request.method": request.method}
    if connection is None:
        return {**attributes, **told_url(request.url)}
    attributes["crossdock.connection.name"] = connection.name
    try:
        url = request_url(connection.base_url, request.url, ())
    except TargetRefused:
        return attributes
    return {**attributes, **told_url(mask_for(connection).text(url))}


def _told_database(connection: SqlConnection) -> Attributes:
    kind = connection.url.partition(":")[0].partition("+")[0]
    return {"db.system.name": _DATABASES.get(kind, kind), "crossdock.connection.name": connection.name}
