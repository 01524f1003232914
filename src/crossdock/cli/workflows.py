"""`crossdock workflow`: versions of an integration's workflow, what differs between them, and the draft."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdock.cli import output
from crossdock.cli.client import Api, CommandFailed
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

app = typer.Typer(no_args_is_help=True, help="See versions of workflows, compare, publish and roll them back.")
draft = typer.Typer(no_args_is_help=True, help="Work on a workflow before it counts.")
app.add_typer(draft, name="draft")

_COLORS = {"+": "green", "-": "red", "@": "cyan"}
_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "moved": (">", "cyan"), "changed": ("~", "yellow")}

Which = Annotated[str, typer.Option("--version", metavar="VERSION", help="A number, published or draft.")]


@app.command("show")
def show_workflow(
    integration: IntegrationName,
    version: Which = "published",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show a version of the workflow as YAML."""
    with connect(url, token) as api:
        found = _version(api, _id(api, integration), version)
    if as_json:
        show_json(found)
    else:
        typer.echo(output.yaml_text(found["document"]), nl=False)


@app.command("versions")
def list_versions(
    integration: IntegrationName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """List the versions, newest first."""
    with connect(url, token) as api:
        found = list(api.items(*_path(api, integration), "versions"))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("VERSION", "PUBLISHED", "CREATED", "BY", "STEPS"),
        (
            (
                one["number"],
                "published" if one["published"] else None,
                one["created_at"],
                one["created_by"],
                len(one["document"]["steps"]),
            )
            for one in found
        ),
        empty="No versions. `crossdock workflow draft save INTEGRATION FILE` begins one.",
    )


@app.command("history")
def list_publications(
    integration: IntegrationName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """List which version was published when, and by whom, newest first."""
    with connect(url, token) as api:
        found = list(api.items(*_path(api, integration), "publications"))
    if as_json:
        show_json(found)
        return
    output.show_table(
        ("PUBLISHED", "VERSION", "BY", ""),
        (
            (
                one["published_at"],
                one["number"] or "none",
                one["published_by"],
                "rolled back" if one["rolled_back"] else None,
            )
            for one in found
        ),
        empty="Nothing was published yet.",
    )


@app.command("diff")
def show_differences(
    integration: IntegrationName,
    before: Annotated[str, typer.Argument(metavar="[FROM]", help="A number, published or draft.")] = "published",
    after: Annotated[str, typer.Argument(metavar="[TO]", help="A number, published or draft.")] = "draft",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show what differs between two versions; by default from the published one to the draft."""
    with connect(url, token) as api:
        found = api.get(*_path(api, integration), "differences", query={"from": before, "to": after})
    if as_json:
        show_json(found)
    elif found["same"]:
        typer.echo(f"No difference between {found['from']} and {found['to']}.")
    else:
        _tell_steps(found)
        _tell_text(found)


@app.command("publish")
def publish_version(
    integration: IntegrationName,
    number: Annotated[int, typer.Argument(metavar="VERSION", help="The version's number.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Let new events run through a version, older or newer. Runs that have begun keep theirs."""
    with connect(url, token) as api:
        made = api.post(*_path(api, integration), "versions", str(number), "publish")
    typer.echo(f"Version {made['number']} is published.")


@app.command("rollback")
def roll_back(integration: IntegrationName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Publish the version that was published before; once more, the one before that."""
    with connect(url, token) as api:
        made = api.post(*_path(api, integration), "rollback")
    typer.echo(f"Version {made['number']} is published.")


# --- the draft -------------------------------------------------------------------------------------------------------


@draft.command("show")
def show_draft(
    integration: IntegrationName, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Show the draft as YAML; what keeps it from being published goes to the error output."""
    with connect(url, token) as api:
        found = api.get(*_path(api, integration), "draft")
    if as_json:
        show_json(found)
        return
    typer.echo(output.yaml_text(found["document"]), nl=False)
    _tell_problems(found)


@draft.command("save")
def save_draft(
    integration: IntegrationName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML: a workflow, or an integration; - reads it here.")],
    based_on: Annotated[
        int | None, typer.Option("--based-on", min=0, help="The version it was made from.", show_default=False)
    ] = None,
    revision: Annotated[
        int | None,
        typer.Option("--revision", min=0, help="Only if the draft is at this one; 0: if there is none."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Keep a file as the draft, whether it compiles or not."""
    wanted = {"document": read_workflow(file), "based_on": based_on, "revision": revision}
    with connect(url, token) as api:
        saved = api.put(*_path(api, integration), "draft", document=wanted)
    typer.echo(f"The draft is saved (revision {saved['revision']}, made from {_named(saved['based_on'])}).")
    _tell_problems(saved)


@draft.command("publish")
def publish_draft(
    integration: IntegrationName,
    force: Annotated[bool, typer.Option("--force", help="Even if another version was published since.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Make the draft the next version, for new events from now on."""
    with connect(url, token) as api:
        made = api.post(*_path(api, integration), "draft", "publish", document={"force": force})
    typer.echo(f"Version {made['number']} is published.")


@draft.command("discard")
def discard_draft(integration: IntegrationName, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Forget the draft."""
    with connect(url, token) as api:
        api.delete(*_path(api, integration), "draft")
    typer.echo("The draft is gone.")


# --- parts -----------------------------------------------------------------------------------------------------------


def _id(api: Api, integration: str) -> str:
    return str(find_integration(api, integration)["id"])


def _path(api: Api, integration: str) -> tuple[str, str, str]:
    return "integrations", _id(api, integration), "workflow"


def _version(api: Api, integration_id: str, which: str) -> dict[str, Any]:
    place = ("integrations", integration_id, "workflow")
    rest = () if which == "published" else ("draft",) if which == "draft" else ("versions", which)
    found: dict[str, Any] = api.get(*place, *rest)
    return found


def read_workflow(file: Path) -> Json:
    """The workflow in a YAML or JSON file; of an integration's document its workflow. CommandFailed when there is none.

    `-` stands for the standard input.
    """
    import json

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    name = "the standard input" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        document = json.loads(json.dumps(YAML(typ="safe").load(text), default=str))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{name} can't be read: {error}") from None
    except (YAMLError, TypeError, ValueError) as error:
        raise CommandFailed(f"{name} is not a YAML document: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("spec"), dict):
        document = document["spec"].get("workflow")
    if not isinstance(document, dict):
        raise CommandFailed(f"{name} holds no workflow; write it like `steps: [...]`, or as an integration's document")
    return document


def _named(number: int) -> str:
    return f"version {number}" if number else "no workflow"


def _tell_problems(found: dict[str, Any]) -> None:
    for problem in found["problems"]:
        typer.secho(f"{problem['field']}: {problem['message']}", err=True, fg="yellow" if sys.stderr.isatty() else None)
    if found["problems"]:
        typer.echo("It can't be published like this.", err=True)


def _tell_steps(found: dict[str, Any]) -> None:
    for step in found["steps"]:
        mark, color = _MARKS[step["change"]]
        words = f"{mark} {step['path']} ({step['type']}) {step['change']}"
        if step["change"] == "moved" and step["before"]["path"] != step["path"]:
            words += f" from {step['before']['path']}"
        fields = ", ".join(field["field"] for field in step["fields"])
        typer.secho(f"{words}: {fields}" if fields else words, fg=color)
    for field in found["fields"]:
        typer.secho(f"~ {field['field']} changed", fg="yellow")


def _tell_text(found: dict[str, Any]) -> None:
    typer.echo()
    if found["text"] is None:
        typer.echo("The two are too large to be shown line by line; --json tells each field.")
        return
    for line in found["text"].splitlines():
        typer.secho(line, fg=_COLORS.get(line[:1]))
