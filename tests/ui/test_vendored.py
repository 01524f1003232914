"""What was taken over from others is what was published, and named with its licence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "src" / "crossdock" / "ui" / "static" / "vendor"
TESTS = ROOT / "tests" / "browser" / "axe"


@pytest.mark.parametrize("folder", [PAGES, TESTS], ids=["pages", "tests"])
def test_files_are_what_was_published(folder: Path) -> None:
    lines = (line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, name in lines}

    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    del found["SHA256SUMS"]
    assert found == sums


def test_licences_name_the_locked_versions() -> None:
    locked = json.loads((ROOT / "vendoring" / "package-lock.json").read_text())["packages"]
    named = (PAGES / "LICENSES.txt").read_text()

    for package in ("htmx.org", "uplot", "@codemirror/view", "style-mod"):
        assert f"{package} {locked[f'node_modules/{package}']['version']} (" in named


def test_the_lock_names_no_server_and_checks_what_it_names() -> None:
    packages = json.loads((ROOT / "vendoring" / "package-lock.json").read_text())["packages"]

    assert packages[""]["name"] == "crossdock-vendoring"
    for name, package in packages.items():
        assert "resolved" not in package
        assert name == "" or package["integrity"].startswith("sha512-"), name


def test_no_file_asks_for_another() -> None:
    for path in PAGES.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert "sourceMappingURL" not in text
        assert "import(" not in text
