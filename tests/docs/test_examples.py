"""What the pages show works: documents are acceptable, settings exist, commands can be typed."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from crossdock.catalog import Catalog
from crossdock.cli.program import app
from crossdock.clock import system_now
from crossdock.manage.actor import Actor
from crossdock.manage.apply import Apply
from crossdock.manage.documents import Rules
from crossdock.manage.integrations import IntegrationPorts, Integrations
from crossdock.manage.placeholders import placeholder_names
from crossdock.outbound.guard import Guard
from crossdock.run.compile import compile_workflow
from crossdock.settings import load_settings
from crossdock.store import Store
from crossdock.store.configuration import ensure_workspace
from crossdock.vault import Vault
from tests.support.connections import connections_of
from tests.support.webhooks import SIGNING_SECRET, webhooks_of

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The blocks in one language, each with its place."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        for found in BLOCK.finditer(text):
            if found[1] == language:
                yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", found[2]


def named(examples: Iterator[tuple[str, str]]) -> list[Any]:
    """Parameters by place; a command that a block shows twice is tried once."""
    return [pytest.param(text, id=place) for place, text in dict(examples).items()]


def documents() -> Iterator[tuple[str, str]]:
    return (
        (place, text)
        for place, text in blocks("yaml")
        if re.search(r"^kind: (Integration|Connection)", text, re.MULTILINE)
    )


def whole_lines(text: str) -> Iterator[str]:
    """The lines of a shell block; those that go on, by a backslash or inside quotes, are one."""
    whole = ""
    for line in text.replace("\\\n", " ").splitlines():
        whole = f"{whole}\n{line}" if whole else line
        if whole.count("'") % 2 == 0:
            yield whole
            whole = ""


def commands() -> Iterator[tuple[str, str]]:
    for language in ("sh", "bash", "console"):
        for place, text in blocks(language):
            for line in whole_lines(text):
                words = re.sub(r"^(\$ )?([A-Z_]+=\S+ )*", "", line.strip())
                if words.startswith("crossdock "):
                    yield f"{place}: {words[:40]}", words


@pytest.mark.parametrize("text", named(documents()))
async def test_a_shown_integration_is_acceptable(text: str, store: Store) -> None:
    home = await store.write(ensure_workspace, "wsp_home", "default", system_now())
    vault = Vault([bytes(32)])
    rules = Rules(compile_workflow, Guard().check_url)
    catalog = Catalog(store, vault)
    ports = IntegrationPorts(store, vault, catalog, rules, system_now)
    connections = connections_of(store, vault, catalog, system_now)
    apply = Apply(Integrations(ports), connections, webhooks_of(store, vault, catalog, system_now))
    shown = [document for document in YAML(typ="safe").load_all(text) if document]

    values = {name: _value_for(name) for name in placeholder_names(shown)}
    plan = await apply.plan(Actor("docs", home, "default", "admin"), shown, values)

    assert [step.action for step in plan.steps] == ["create"] * len(shown)


def _value_for(name: str) -> str:
    if name.endswith("_SIGNING_SECRET"):
        return SIGNING_SECRET
    return "https://systems.example" if name.endswith("_URL") else "a-value-that-is-long-enough"


@pytest.mark.parametrize("text", named(blocks("toml")))
def test_shown_settings_exist(text: str, tmp_path: Path) -> None:
    (tmp_path / "crossdock.toml").write_text(text)

    settings = load_settings({}, tmp_path / "crossdock.toml")

    assert tomllib.loads(text).keys() <= type(settings).model_fields.keys()


@pytest.mark.parametrize("line", named(commands()))
def test_a_shown_command_can_be_typed(line: str) -> None:
    command: Any = typer.main.get_command(app)
    typed = re.sub(r"\$\([^)]*\)", "computed", re.split(r" (?:\||>|&&) ", line)[0])
    words = shlex.split(typed, comments=True)[1:]

    context = command.context_class(command, info_name="crossdock")
    while hasattr(command, "commands") and words:
        name, command, words = command.resolve_command(context, words)
        context = command.context_class(command, info_name=name, parent=context)
    command.parse_args(context, words)  # raises for options and arguments that do not exist
