"""The program with `synchronous=NORMAL`, which Crossdock never allows: it shows that the power-loss test can fail."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, event

from crossdock.__main__ import main


@event.listens_for(Engine, "engine_connect")
def _relax(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA synchronous=NORMAL")


if __name__ == "__main__":
    main()
