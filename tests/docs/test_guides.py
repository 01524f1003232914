"""What the README and the guides show works as it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.walkthrough import Walkthrough, blocks
from tests.support.postgres import ForeignServer

ROOT = Path(__file__).resolve().parents[2]
SHOWN_DATABASE = "postgresql://crossdock:secret@db.example/crossdock"
FOLLOWED = [
    path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
    if any(block.kind == "run" for block in blocks(path.read_text(encoding="utf-8")))
]


@pytest.mark.timeout(240)  # a server and a dozen commands, each a process
@pytest.mark.parametrize("document", FOLLOWED, ids=lambda path: path.stem)
def test_the_document_can_be_followed(document: Path, tmp_path: Path, request: pytest.FixtureRequest):
    text = document.read_text(encoding="utf-8")
    if SHOWN_DATABASE in text:
        text = with_database(text, request.getfixturevalue("empty_postgres"))
    with Walkthrough(tmp_path) as walkthrough:
        for block in blocks(text):
            walkthrough.follow(block)


@pytest.fixture
def empty_postgres(postgres: ForeignServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


def with_database(text: str, url: str) -> str:
    """The document with this database in the place of the one that it shows."""
    shown_place, place = (each.rpartition("@")[2] for each in (SHOWN_DATABASE, url))
    return text.replace(SHOWN_DATABASE, url).replace(shown_place, place)


@pytest.mark.parametrize("name", ["getting-started", "sync-and-async", "ordered-delivery", "troubleshooting"])
def test_the_guides_for_a_start_are_followed(name: str):
    assert ROOT / "docs" / "guides" / f"{name}.md" in FOLLOWED
