"""Nothing of the documents is out of reach, and none of them speaks of commands or dependencies that are not there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from crossdock.cli.program import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "index.md")
READ = [ROOT / "README.md", ROOT / "SUPPORT.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *PAGES]
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s(])crossdock ((?:[a-z][a-z-]* ?)+)([^\n|)#]*)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_the_index_leads_to_every_page(page: Path):
    index = (DOCS / "index.md").read_text(encoding="utf-8")

    assert f"({page.relative_to(DOCS)})" in index


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_four_parts(page: Path):
    text = page.read_text(encoding="utf-8")
    if page.stem == "dependencies":
        return

    assert re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE) == [
        "Context.",
        "Choice.",
        "Instead of",
        "Consequences.",
    ]


def test_every_dependency_says_why_it_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["jsonata"], *extras["otel"]]
    asked = {re.split(r"[\[<>=~]", line)[0] for line in lines}
    text = (DOCS / "decisions" / "dependencies.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| ([\w.-]+) \| .{10,} \|$", text, re.MULTILINE)) - {"package"} == asked


@pytest.mark.parametrize("page", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(page: Path):
    unknown = [shown for shown in _commands(page.read_text(encoding="utf-8")) if _fault(shown)]

    assert unknown == []


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """The words and the rest of every `crossdock ...` in code."""
    for block, inline in CODE.findall(text):
        for words, rest in COMMAND.findall(block or inline):
            yield words.strip(), rest


def _fault(shown: tuple[str, str]) -> bool:
    """Whether there is no such command, or it has not all of the options."""
    words, rest = shown
    command: Any = typer.main.get_command(app)
    for word in words.split():
        children = getattr(command, "commands", {})
        if word in children:
            command = children[word]
        elif children:
            return True
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    return not set(re.findall(r"(?<=\s)--[a-z-]+", f" {rest}")) <= known
