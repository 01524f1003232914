"""How an integration's settings are written down, read into the model.

The document was checked and filled with defaults by `manage.documents` before it was stored, so nothing is judged
here. Fields that a newer version added may be missing in an older row and take the model's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from crossdock.model.integration import (
    DEFAULT_RETENTION_SECONDS,
    HealthRules,
    Integration,
    RejectedCalls,
    ReplySettings,
)
from crossdock.model.outcome import Json
from crossdock.model.retry import RetryPolicy
from crossdock.model.time import parse_duration
from crossdock.model.trigger import (
    AuthenticationMode,
    Cors,
    Deduplication,
    OnExhausted,
    OnTimeout,
    QueryParameter,
    RateLimit,
    ResponseMode,
    Trigger,
)
from crossdock.store.integrations import IntegrationRow


def read_integration(row: IntegrationRow, secret_headers: Mapping[str, str]) -> Integration:
    """The integration of a row. `secret_headers` holds the reply headers that are sealed, by their lower-case names."""
    document = row.document
    return Integration(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        type=row.type,
        enabled=row.enabled,
        path=row.path,
        trigger=_trigger(document["trigger"]),
        reply=_reply(document["reply"], secret_headers) if document.get("reply") else None,
        retry=_retry(document["retry"]) if document.get("retry") else None,
        health=_health(document.get("health") or {}),
        retention=_seconds(document.get("retention")) or DEFAULT_RETENTION_SECONDS,
        workflow_number=row.workflow_number,
        revision=row.revision,
    )


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_duration(text)


def _trigger(written: Json) -> Trigger:
    default = Trigger()
    authentication = written["authentication"]
    deduplicate, rate_limit, schema = written.get("deduplicate"), written.get("rate_limit"), written.get("body_schema")
    return Trigger(
        methods=tuple(written["methods"]),
        authentication=AuthenticationMode(authentication["mode"]),
        basic_username=authentication.get("username") or "",
        query_parameters=tuple(
            QueryParameter(parameter["name"], parameter.get("required", False), parameter.get("default"))
            for parameter in written.get("query_parameters", ())
        ),
        response_mode=ResponseMode(written["response_mode"]),
        request_timeout=_seconds(written.get("request_timeout")),
        on_timeout=OnTimeout(written.get("on_timeout", default.on_timeout)),
        ordered=written.get("ordered_delivery", default.ordered),
        ordering_key=written.get("ordering_key"),
        on_exhausted=OnExhausted(written.get("on_exhausted", default.on_exhausted)),
        concurrency=written.get("concurrency", default.concurrency),
        rate_limit=RateLimit(rate_limit["requests"], parse_duration(rate_limit["per"])) if rate_limit else None,
        max_body_bytes=written.get("max_body_bytes", default.max_body_bytes),
        require_json=written.get("require_json", default.require_json),
        deduplicate=Deduplication(deduplicate["key"], parse_duration(deduplicate["within"])) if deduplicate else None,
        body_schema=json.dumps(schema) if schema is not None else None,
        cors=Cors(tuple((written.get("cors") or {}).get("origins", ()))),
    )


def _reply(written: Json, secret_headers: Mapping[str, str]) -> ReplySettings:
    headers = tuple(
        (name, secret_headers.get(name.lower(), value)) for name, value in written.get("headers", {}).items()
    )
    return ReplySettings(written["url"], written["method"], headers)


def _retry(written: Json) -> RetryPolicy:
    return RetryPolicy(
        written["attempts"],
        parse_duration(written["delay"]),
        float(written["factor"]),
        parse_duration(written["max_delay"]),
    )


def _health(written: Json) -> HealthRules:
    default = HealthRules()
    rejected = written.get("rejected_calls")
    return HealthRules(
        window=written.get("window", default.window),
        warning_failures=written.get("warning_failures", default.warning_failures),
        error_failures=written.get("error_failures", default.error_failures),
        silence=_seconds(written.get("silence")),
        backlog=_seconds(written.get("backlog")),
        rejected_calls=RejectedCalls(rejected["calls"], parse_duration(rejected["per"])) if rejected else None,
    )
