"""`crossdock what-if`: what would another workflow make of the events that came in?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
from crossdock.cli.jobs import follow
from crossdock.cli.options import (
    DEFAULT_URL,
    AsJson,
    IntegrationName,
    Token,
    Url,
    connect,
    find_integration,
    show_json,
)
from crossdock.model.outcome import Json

DIFFERENT = ("new_failure", "changed", "fixed_failure", "unknown", "failed")
"""Outcomes that somebody should look at, the worst first."""
_TITLES = {
    "unchanged": "the same",
    "changed": "would change",
    "new_failure": "would fail",
    "fixed_failure": "would not fail any more",
    "unknown": "can't be told",
    "skipped": "had no outcome to compare with",
    "failed": "could not be tried",
}
_SHOWN_DIFFERENCES = 8


def what_if(
    integration: IntegrationName,
    last: Annotated[int, typer.Option("--last", min=1, help="How many of the newest events to try.")] = 500,
    draft: Annotated[bool, typer.Option("--draft", help="With the draft; so it is without any of these.")] = False,
    version: Annotated[int | None, typer.Option("--version", min=1, help="With this version.")] = None,
    workflow: Annotated[
        Path | None, typer.Option("--workflow", metavar="FILE", help="With the workflow in a YAML or JSON file.")
    ] = None,
    shown: Annotated[int, typer.Option("--show", min=0, help="How many events that differ to tell of.")] = 10,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Try past events with another workflow, calling nothing outside. Exit code 1 when something would be different."""
    if sum((draft, version is not None, workflow is not None)) > 1:
        raise typer.BadParameter("choose one of --draft, --version and --workflow")
    wanted: dict[str, Json] = {"last": last}
    if version is not None:
        wanted["version"] = version
    elif workflow is not None:
        wanted["workflow"] = read_workflow(workflow)
    else:
        wanted["draft"] = True
    with connect(url, token) as api:
        found = find_integration(api, integration)
        job = api.post("integrations", str(found["id"]), "what-if", document=wanted)
        job = follow(api, job, "Trying")
        differing = list(islice(_differing(api, job), shown))
    if as_json:
        show_json({"job": job, "items": differing})
    else:
        typer.echo("\n".join(report(job, str(found["name"]), differing)))
    if _count(job, *DIFFERENT):
        raise typer.Exit(1)


def read_workflow(file: Path) -> Json:
    """`steps` in a file of its own, or the workflow of an integration's document; CommandFailed otherwise."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{file} can't be read: {error}") from None
    except YAMLError as error:
        raise CommandFailed(f"{file} is not YAML: {error}") from None
    if isinstance(document, dict) and document.get("kind") == "Integration":
        document = (document.get("spec") or {}).get("workflow")
    if not isinstance(document, dict) or "steps" not in document:
        raise CommandFailed(f"{file} holds no workflow: it begins with `steps:`, or is an integration's document")
    return document


def report(job: dict[str, Any], name: str, differing: list[dict[str, Any]]) -> Iterator[str]:
    """Counts, then what differs in the first events that differ."""
    yield f"{name}: {_plural(sum(_counts(job).values()), 'event')} tried with {_target(job)}."
    yield ""
    counts = _counts(job)
    width = max(len(str(count)) for count in counts.values()) if counts else 1
    for outcome, words in _TITLES.items():
        if counts.get(outcome):
            yield f"  {counts[outcome]:>{width}} {words}"
    total = _count(job, *DIFFERENT)
    if not total:
        yield ""
        yield "Nothing would be different."
        return
    for item in differing:
        yield ""
        yield from _event(item)
    if len(differing) < total:
        yield ""
        yield f"{total - len(differing)} more: crossdock jobs items {job['id']} --json"


def _event(item: dict[str, Any]) -> Iterator[str]:
    comparison = item["comparison"] or {}
    yield f"{item['event_id']}  {_TITLES[item['outcome']]}"
    for reason in (item["reason"], comparison.get("reason"), comparison.get("omitted")):
        if reason:
            yield f"  {reason}"
    yield from _error(comparison)
    for step in comparison.get("steps") or []:
        if step["change"] != "changed" or step["input_changed"]:
            extra = " (asked something else; answered as before)" if step["input_changed"] else ""
            yield f"  step {step['id']} ({step['type']}): {step['change']}{extra}"
    differences = comparison.get("differences") or []
    for difference in differences[:_SHOWN_DIFFERENCES]:
        yield f"  {difference['path']}: {_side(difference, 'before')} -> {_side(difference, 'after')}"
    if len(differences) > _SHOWN_DIFFERENCES:
        yield f"  ... and {len(differences) - _SHOWN_DIFFERENCES} more differences"


def _error(comparison: dict[str, Any]) -> Iterator[str]:
    error = comparison.get("error") or {}
    if error.get("before") == error.get("after"):
        return
    for words, failure in (("failed before", error.get("before")), ("would fail", error.get("after"))):
        if failure:
            place = f" in step {failure['step']}" if failure.get("step") else ""
            yield f"  {words}{place}: {output.compact(failure.get('message') or failure['kind'], 200)}"


def _side(difference: dict[str, Any], name: str) -> str:
    """A value as JSON, so that text can be told from numbers; nothing where there is none."""
    import json

    if name not in difference:
        return "(nothing)"
    return output.compact(json.dumps(difference[name], ensure_ascii=False), 120)


def _differing(api: Api, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for outcome in DIFFERENT:
        if _counts(job).get(outcome):
            yield from api.items("bulk-jobs", job["id"], "items", query={"outcome": outcome})


def _target(job: dict[str, Any]) -> str:
    options = job["options"]
    if "version" in options:
        return f"version {options['version']}"
    return "the given workflow" if "workflow" in options else "the draft"


def _counts(job: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = job["summary"]
    return counts


def _count(job: dict[str, Any], *outcomes: str) -> int:
    return sum(_counts(job).get(outcome, 0) for outcome in outcomes)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
