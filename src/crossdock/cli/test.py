"""`crossdock test`: try a workflow with a made-up call or a past event."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from crossdock.cli import output
from crossdock.cli.client import CommandFailed
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
from crossdock.cli.send import content_type_of, read_body
from crossdock.cli.what_if import read_workflow
from crossdock.model.outcome import Json

_Pairs: TypeAlias = list[tuple[str, str]]


def try_workflow(
    integration: IntegrationName,
    event: Annotated[str | None, typer.Option("--event", metavar="ID", help="A past event.")] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="@FILE|JSON", help="The body of a made-up call, or instead of the event's."),
    ] = None,
    query: Annotated[list[str] | None, typer.Option("--query", metavar="K=V", help="May be given again.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", metavar="K:V", help="May be given again.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="Default: the integration's first one.")] = None,
    workflow: Annotated[
        Path | None, typer.Option("--workflow", metavar="FILE", help="The workflow in a YAML or JSON file.")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="The draft. Default: the published version.")] = False,
    version: Annotated[int | None, typer.Option("--version", min=1, help="This version.")] = None,
    recorded: Annotated[
        str | None,
        typer.Option("--recorded", metavar="@FILE|JSON", help="What steps give that are not performed, by their ids."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Really perform steps with side effects, each once.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a live test.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Take a call through a workflow and tell what each step does. Nothing is recorded; without --live, no other system
    is changed. Exit code 1 when the workflow fails."""
    if sum((workflow is not None, draft, version is not None)) > 1:
        raise typer.BadParameter("choose one of --workflow, --draft and --version")
    wanted: dict[str, Json] = {"mode": "live" if live else "dry_run", "event_id": event, "version": version}
    wanted |= {"workflow": read_workflow(workflow) if workflow is not None else None, "draft": draft or None}
    headers = parse_pairs(header or [], ":", "--header")
    if event is None:  # a past event's body keeps its type
        headers = [*content_type_of(data).items(), *headers]
    wanted["request"] = _request(data, parse_pairs(query or [], "=", "--query"), headers, method) or None
    if recorded is not None:
        wanted["recorded"] = _read_recorded(recorded)
    if live and not yes:
        words = "Steps with side effects will really be performed: other systems are called and changed. Go on?"
        typer.confirm(words, abort=True, err=True)
    with connect(url, token) as api:
        found = find_integration(api, integration)
        given = {name: value for name, value in wanted.items() if value is not None}
        trial = api.post("integrations", str(found["id"]), "workflow", "test", document=given)
    if as_json:
        show_json(trial)
    else:
        typer.echo("\n".join(tell_trial(trial)))
    if trial["status"] != "succeeded":
        raise typer.Exit(1)


def _request(data: str | None, query: _Pairs, headers: _Pairs, method: str | None) -> dict[str, Json]:
    """The part of the call that was given."""
    request: dict[str, Json] = {}
    if data is not None:
        request |= _body(read_body(data) or b"")
    if headers:
        request["headers"] = dict(headers)
    if query:
        request["query"] = _grouped(query)
    if method is not None:
        request["method"] = method.upper()
    return request


def _body(body: bytes) -> dict[str, Json]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "body_encoding": "base64"}


def _grouped(pairs: _Pairs) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _read_recorded(given: str) -> Json:
    try:
        outputs = json.loads(read_body(given) or b"")
    except ValueError as error:
        raise CommandFailed(f"--recorded is not JSON: {error}") from None
    if not isinstance(outputs, dict):
        raise CommandFailed('--recorded needs an object of step ids and what they give: {"book": {"status": 200}}')
    return outputs


# --- in words --------------------------------------------------------------------------------------------------------


def tell_trial(trial: dict[str, Any]) -> Iterator[str]:
    """Steps, answer and reply."""
    mode = "live test" if trial["mode"] == "live" else "dry run: nothing was changed or recorded"
    yield f"{output.colored(trial['status'])}  {mode}"
    yield ""
    for step in trial["steps"]:
        yield from _step(step)
    left_out = trial["steps_total"] - len(trial["steps"])
    if left_out > 0:
        yield f"  and {left_out} more steps"
    if trial["error"]:
        step = f" in step {trial['error']['step']}" if trial["error"].get("step") else ""
        yield ""
        yield f"Error    {trial['error']['kind']}: {trial['error']['message']}{step}"
    yield ""
    yield f"Answer   {trial['answer']['status']}"
    yield f"  body    {output.compact(trial['answer']['body'])}"
    if trial["reply"]:
        yield ""
        yield f"Reply    {trial['reply']['method']} {trial['reply']['url']}"
        yield f"  body    {output.compact(trial['reply']['body'])}"
    for path in trial["unused_recorded"]:
        yield ""
        yield f"No step asked for what --recorded gives for {path}; step ids inside of blocks have these before them."


_ANSWERED = {
    "recorded": ", answered from the record",
    "given": ", answered as given",
    "simulated": ", not performed: its output is made up",
    "performed": "",
}


def _step(step: dict[str, Any]) -> Iterator[str]:
    indent = "  " * (1 + step["id"].count("."))
    answered = "" if step["type"] == "delay" else _ANSWERED[step["answered"]]
    yield f"{indent}{step['id']} ({step['type']}) {output.colored(step['status'])}{answered}"
    for name, value in (("would", step["would"]), ("output", step["output"])):
        if value is not None:
            yield f"{indent}  {name:<8}{output.compact(value)}"
    if step["error"]:
        yield f"{indent}  error   {step['error']['kind']}: {output.compact(step['error']['message'])}"
    if step["because_of"]:
        names = ", ".join(step["because_of"])
        yield f"{indent}  It builds on what is made up for {names}; say what that would be with --recorded."
