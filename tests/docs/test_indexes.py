"""The guide to PostgreSQL lists every index, and every table that has settings of its own."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import crossdock.store.migrations.versions as versions
from crossdock.store.schema import metadata

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "postgresql.md").read_text(encoding="utf-8")


def names_in_table(heading: str) -> list[str]:
    """What stands in backticks in the first column of the table in a section."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_guide_lists_every_index_once() -> None:
    indexes = [str(index.name) for table in metadata.sorted_tables for index in table.indexes]

    assert sorted(names_in_table("Indexes")) == sorted(indexes)


def test_the_guide_lists_every_table_that_has_settings_of_its_own() -> None:
    modules = [import_module(f"{versions.__name__}.{path.stem}") for path in Path(versions.__path__[0]).glob("0*.py")]
    tuned = [table for module in modules for table in getattr(module, "TUNING", {})]

    assert len(tuned) > 20
    assert sorted(names_in_table("Autovacuum, and tables that stay flat")) == sorted(tuned)
