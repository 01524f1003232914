"""Connections for tests: documents, and a port that remembers what was tried and answers as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossdock.catalog import Catalog
from crossdock.clock import Clock
from crossdock.manage.connection_documents import ConnectionRules
from crossdock.manage.connections import ConnectionPorts, Connections
from crossdock.outbound.connection import Connection
from crossdock.outbound.guard import Guard
from crossdock.outbound.trying import ConnectionTest
from crossdock.store import Store
from crossdock.vault import Vault

SQLITE_FOLDER = Path("/var/lib/crossdock/databases")


@dataclass
class Tries:
    """Stands for the outside world: `tried` are the connections with the paths, in order."""

    answer: ConnectionTest = field(default_factory=lambda: ConnectionTest(None, {"status": 200}))
    tried: list[tuple[Connection, str]] = field(default_factory=list)

    async def __call__(self, connection: Connection, path: str = "") -> ConnectionTest:
        self.tried.append((connection, path))
        return self.answer


def connections_of(
    store: Store,
    vault: Vault,
    catalog: Catalog,
    now: Clock,
    tries: Tries | None = None,
    sqlite_folder: Path = SQLITE_FOLDER,
) -> Connections:
    """The use cases of connections over a store."""
    rules = ConnectionRules(Guard().check_url, sqlite_folder)
    return Connections(ConnectionPorts(store, vault, catalog, rules, now, tries or Tries()))


def http_document(name: str = "ERP", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "http", "base_url": "https://erp.example/api", **more}


def sql_document(name: str = "Stock", url: str = "postgresql://erp:secret@db.example/stock", **more: Any) -> Any:
    return {"name": name, "kind": "sql", "url": url, **more}
