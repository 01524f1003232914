"""Documents that point somewhere point at something; the locks hold what the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
IGNORED = {".venv", ".git", "node_modules", "static", ".pytest_cache"}


def documents() -> list[Path]:
    found = (path for path in ROOT.rglob("*.md") if not IGNORED & set(path.relative_to(ROOT).parts))
    return sorted(found)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(document: Path):
    text = FENCE.sub("", document.read_text(encoding="utf-8"))

    broken = [link for link in LINK.findall(text) if not _resolves(document, link)]

    assert broken == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_locks_hold_what_the_project_asks_for(lock: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = list(project["dependencies"])
    if "test" in lock:
        asked += project["optional-dependencies"]["test"]
    text = (ROOT / lock).read_text(encoding="utf-8")

    missing = [name for name in map(_name, asked) if not re.search(rf"^{re.escape(name)}==", text, re.MULTILINE)]

    assert missing == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_locks_name_no_server(lock: str):
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")


def _resolves(document: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    path, _, anchor = link.partition("#")
    target = document if not path else document.parent / path
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def _anchors(document: Path) -> set[str]:
    titles = HEADING.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()
