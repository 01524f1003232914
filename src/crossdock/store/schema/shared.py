"""What all tables share: their metadata, and how the words of a state are enforced."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, MetaData, String

metadata = MetaData()


# Differs: ranges of lane ids are compared byte by byte, whatever collation a PostgreSQL database has.
LaneId = String().with_variant(String(collation="C"), "postgresql")


def words(column: str, words: Iterable[str], name: str) -> CheckConstraint:
    """A column holds one of these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)
