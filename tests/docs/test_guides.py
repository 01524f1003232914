"""What the README and the guides show works as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.walkthrough import Walkthrough, blocks

ROOT = Path(__file__).resolve().parents[2]
FOLLOWED = [
    path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
    if any(block.kind == "run" for block in blocks(path.read_text(encoding="utf-8")))
]


@pytest.mark.timeout(240)  # a server and a dozen commands, each a process
@pytest.mark.parametrize("document", FOLLOWED, ids=lambda path: path.stem)
def test_the_document_can_be_followed(document: Path, tmp_path: Path):
    with Walkthrough(tmp_path) as walkthrough:
        for block in blocks(document.read_text(encoding="utf-8")):
            walkthrough.follow(block)


@pytest.mark.parametrize("name", ["getting-started", "sync-and-async", "ordered-delivery", "troubleshooting"])
def test_the_guides_for_a_start_are_followed(name: str):
    assert ROOT / "docs" / "guides" / f"{name}.md" in FOLLOWED
