"""`crossdock send`: call an integration as its callers do."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import typer

from crossdock.cli.client import Answer, Api, CommandFailed, Server, explain
from crossdock.cli.options import (
    DEFAULT_URL,
    AsJson,
    IntegrationName,
    Token,
    Url,
    connect,
    find_integration,
    parse_pairs,
    show_json,
)

FINAL = ("succeeded", "failed", "canceled")


def send(
    integration: IntegrationName,
    data: Annotated[
        str | None, typer.Option("--data", metavar="@FILE|JSON", help="The body; @- reads standard input.")
    ] = None,
    query: Annotated[list[str] | None, typer.Option("--query", metavar="K=V", help="May be given again.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", metavar="K:V", help="May be given again.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="Default: the integration's first one.")] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", envvar="CROSSDOCK_KEY", help="API key, platform token, or user:password for Basic."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and tell the whole story.")] = False,
    wait_limit: Annotated[float, typer.Option("--wait-limit", min=1, help="Seconds to wait at most.")] = 300.0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Call an integration, and show what it answers."""
    headers = dict(parse_pairs(header or [], ":", "--header"))
    parameters = parse_pairs(query or [], "=", "--query")
    body = read_body(data)
    with connect(url, token) as api:
        found = find_integration(api, integration)
        headers = {**_credential(found, key), **content_type_of(data), **headers}
        answer = _call(api, found, method, parameters, headers, body)
        if answer.status >= 400:
            raise CommandFailed(_refusal(answer, found))
        event_id = answer.headers.get("x-crossdock-event") or str((_json(answer) or {}).get("id", ""))
        if wait:
            _show_end(_await_end(api, event_id, wait_limit), as_json=as_json)
            return
    _show_answer(answer, event_id, as_json=as_json)


def read_body(data: str | None) -> bytes | None:
    """The bytes that `--data` stands for: those of a file, of the standard input, or the text itself."""
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{data[1:]} can't be read: {error.strerror}") from None


def content_type_of(data: str | None) -> dict[str, str]:
    """JSON unless a file's name says something else."""
    if data is None:
        return {}
    import mimetypes

    guessed = mimetypes.guess_type(data)[0] if data.startswith("@") else None
    return {"Content-Type": guessed or "application/json"}


def _credential(integration: dict[str, Any], key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    match (integration.get("trigger") or {}).get("authentication", {}).get("mode"):
        case "platform_token":
            return {"X-Platform-Token": key}
        case "basic":
            return {"Authorization": "Basic " + base64.b64encode(key.encode()).decode()}
        case _:
            return {"X-API-Key": key}


def _call(
    api: Api,
    integration: dict[str, Any],
    method: str | None,
    parameters: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes | None,
) -> Answer:
    """The call goes to the server that was asked for the integration, whatever public address that one shows."""
    path = urlsplit(integration["url"]).path
    if parameters:
        path += "?" + urlencode(parameters)
    methods = (integration.get("trigger") or {}).get("methods") or ["POST"]
    with Server(api.server.url) as caller:
        return caller.send(method or methods[0], path, body=body, headers=headers)


def _refusal(answer: Answer, integration: dict[str, Any]) -> str:
    if answer.status == 401:
        return f"{integration['name']} refused the call: give a key with --key (or CROSSDOCK_KEY)"
    return explain(answer, integration["url"])


def _await_end(api: Api, event_id: str, limit: float) -> dict[str, Any]:
    deadline, pause = time.monotonic() + limit, 0.05
    while True:
        event: dict[str, Any] = api.get("events", event_id)
        replying = (event.get("reply") or {}).get("status") == "pending"
        if event["status"] in FINAL and not replying:
            return event
        if time.monotonic() > deadline:
            raise CommandFailed(f"{event_id} is {event['status']} after {limit:.0f} seconds; look at it later with "
                                f"`crossdock events show {event_id}`")  # fmt: skip
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)


def _show_end(event: dict[str, Any], *, as_json: bool) -> None:
    from crossdock.cli.story import tell

    if as_json:
        show_json(event)
    else:
        typer.echo(tell(event))
    if event["status"] != "succeeded":
        raise typer.Exit(1)


def _show_answer(answer: Answer, event_id: str, *, as_json: bool) -> None:
    document = _json(answer)
    if as_json:
        show_json(
            {"status": answer.status, "event_id": event_id, "body": document or answer.body.decode("utf-8", "replace")}
        )
        return
    typer.echo(f"{answer.status}  {event_id}", err=True)
    if document is not None:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo(answer.body.decode("utf-8", "replace"))


def _json(answer: Answer) -> Any:
    try:
        return answer.document()
    except ValueError:
        return None
