"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from crossdock.cli.client import Api, CommandFailed, Server
from crossdock.model.outcome import Json

if TYPE_CHECKING:
    from crossdock.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8420"

_SERVER = "Server"
_DATABASE = "Installation"

Url = Annotated[
    str,
    typer.Option("--url", envvar="CROSSDOCK_URL", help="The server's address.", rich_help_panel=_SERVER),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar=["CROSSDOCK_TOKEN", "CROSSDOCK_ADMIN_TOKEN"],
        show_envvar=False,
        help="An API token. Default: CROSSDOCK_TOKEN, else that of a server on this machine.",
        rich_help_panel=_SERVER,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of words.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many to show at most.")]
IntegrationName = Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, path or id.")]

Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="sqlite:///FILE or postgresql://...", rich_help_panel=_DATABASE),
]
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data folder.", rich_help_panel=_DATABASE)]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A TOML file with settings.", rich_help_panel=_DATABASE),
]


def connect(url: str, token: str | None) -> Api:
    """The admin API at `url`. Without a token, the one that a server on this machine keeps in its data folder."""
    return Api(Server(url), token or _local_token(url))


def settings_of(config: Path | None, **options: object) -> Settings:
    """The settings of an installation, for commands that work without a server."""
    from crossdock.settings import load_settings

    return load_settings(options, config)


def find_integration(api: Api, wanted: str) -> dict[str, Any]:
    """The integration with this id, name or path; CommandFailed when there is none."""
    if wanted.startswith("int_"):
        return _integration(api, wanted)
    for item in api.items("integrations"):
        if wanted in (item["name"], item["path"]):
            return _integration(api, str(item["id"]))
    raise CommandFailed(f"there is no integration {wanted!r}; `crossdock integrations list` shows them all")


def _integration(api: Api, integration_id: str) -> dict[str, Any]:
    document: dict[str, Any] = api.get("integrations", integration_id)
    return document


def parse_pairs(given: list[str], separator: str, option: str) -> list[tuple[str, str]]:
    """`name=value` texts as pairs; wrong usage when one has no separator."""
    pairs = []
    for text in given:
        name, found, value = text.partition(separator)
        if not found or not name.strip():
            raise typer.BadParameter(f"write it like name{separator}value, not {text!r}", param_hint=option)
        pairs.append((name.strip(), value.strip() if separator == ":" else value))
    return pairs


def show_json(document: Json) -> None:
    import json

    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _local_token(url: str) -> str | None:
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    file = Path(os.environ.get("CROSSDOCK_DATA") or "crossdock-data") / "admin.token"
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None
