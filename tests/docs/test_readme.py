"""The README is true where a program can tell. That its example works is seen by `test_guides`."""

from __future__ import annotations

import re
from pathlib import Path

from crossdock.demo import ORDER, PATH
from tests.docs.walkthrough import blocks

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands_exist():
    commands = re.findall(r"^scripts/\w+", README, re.MULTILINE)

    assert {"scripts/run", "scripts/test"} <= set(commands)
    assert [command for command in commands if not (ROOT / command).is_file()] == []


def test_the_shown_call_is_that_of_the_demo():
    assert f"/hooks/default/{PATH} -H 'X-API-Key: " in README
    assert ORDER.partition(', "lines"')[0] in README


def test_the_first_integration_is_whole():
    kinds = [block.kind for block in blocks(README)]

    assert kinds[:5] == ["file", "file", "serve", "run", "prints"]


def test_every_picture_is_there_and_says_what_it_shows():
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README)

    assert len(pictures) == 3
    assert README.index(pictures[0][0]) < README.index("## "), "it begins with a picture of the workspace"
    assert all(len(words) > 40 and (ROOT / path).is_file() for words, path in pictures)


def test_the_pictures_load_nothing():
    for picture in (ROOT / "docs" / "images").glob("*.svg"):
        text = picture.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")

        assert "://" not in text
        assert "<script" not in text
