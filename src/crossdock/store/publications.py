"""Which version of a workflow was the one for new events, one after the other, and who made it so.

Rolling back is going back in this history, not to and fro: a publication that came of a rollback remembers the one
whose version it brought back, and the next rollback starts from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from crossdock.model.time import Instant
from crossdock.store.schema import workflow_publication as publication


@dataclass(frozen=True, slots=True)
class PublicationRow:
    """`number` 0 stands for no workflow."""

    position: int
    number: int
    returns_to: int | None
    """The position of the publication whose version a rollback brought back."""
    published_at: Instant
    published_by: str

    @property
    def stands_at(self) -> int:
        """Where in the history this leaves the integration."""
        return self.position if self.returns_to is None else self.returns_to


def add_publication(
    connection: Connection, integration_id: str, number: int, *, at: Instant, by: str, returns_to: int | None = None
) -> None:
    """Keep that new events run through this version from now on. The integration's row is locked by the caller."""
    last = last_publication(connection, integration_id)
    connection.execute(
        insert(publication).values(
            integration_id=integration_id,
            position=1 if last is None else last.position + 1,
            number=number,
            returns_to=returns_to,
            published_at=at,
            published_by=by,
        )
    )


def last_publication(connection: Connection, integration_id: str) -> PublicationRow | None:
    return next(iter(publications_page(connection, integration_id, below=None, limit=1)), None)


def publications_page(
    connection: Connection, integration_id: str, *, below: int | None, limit: int
) -> list[PublicationRow]:
    """The newest publications first, those at a position below `below`."""
    query = select(publication).where(publication.c.integration_id == integration_id)
    if below is not None:
        query = query.where(publication.c.position < below)
    return [_row(row) for row in connection.execute(query.order_by(publication.c.position.desc()).limit(limit))]


def published_before(connection: Connection, integration_id: str, number: int) -> PublicationRow | None:
    """The publication that a rollback from version `number`, the published one, goes back to: the last one before it
    of another version; None when there is none."""
    last = last_publication(connection, integration_id)
    if last is None:
        return None
    query = select(publication).where(
        publication.c.integration_id == integration_id,
        publication.c.position < last.stands_at,
        publication.c.number.not_in((0, number)),
    )
    row = connection.execute(query.order_by(publication.c.position.desc()).limit(1)).first()
    return None if row is None else _row(row)


def _row(row: Row[Any]) -> PublicationRow:
    return PublicationRow(row.position, row.number, row.returns_to, row.published_at, row.published_by)
