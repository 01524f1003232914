"""What PostgreSQL itself notes of leases: a change is told with who made it, whatever the change claims."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.moments import WallClock, look_at_clocks, moment
from tests.support.postgres import OwnServer
from tests.system.cluster import prepare_database, signed_in_as
from tests.system.cluster_ledger import foreign_changes
from tests.system.history import History, read_history

RUN = """INSERT INTO run (event_id, integration_id, state, workflow_number, accepted_at, due_at, attempts, losses,
    cancel_requested, lease_node, lease_token) VALUES ('e1', 'i', 'running', 1, 0, 0, 1, 0, false, 'epoch_1', 't')"""
NODE = "INSERT INTO node (id, host, pid, version, started_at, heartbeat_at) VALUES ('epoch_1', 'h', 1, '1', 0, 0)"
SUCCEED = "UPDATE run SET state = 'succeeded', finished_at = 1, lease_node = NULL, lease_token = NULL"
RESCUE = "UPDATE run SET state = 'queued', losses = 1, lease_node = NULL, lease_token = NULL"
STEPS = """[{"id": "first", "status": "succeeded"}, {"id": "second", "status": "failed"}]"""
JOURNAL = f"INSERT INTO journal (event_id, position, steps) VALUES ('e1', 0, '{STEPS}')"


class Witnessed:
    """A database whose changes are noted, and two nodes that write to it as they like."""

    def __init__(self, server: OwnServer) -> None:
        self._url = server.url(prepare_database(server, ["node_1", "node_2"]))
        self._clocks = look_at_clocks()

    def write(self, place: str, *statements: str) -> None:
        with psycopg.connect(signed_in_as(place, self._url)) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def history(self) -> History:
        return read_history(self._url, WallClock(self._clocks, look_at_clocks()))


@pytest.fixture
def witnessed(own_postgres: OwnServer) -> Witnessed:
    return Witnessed(own_postgres)


def test_holder_and_end_of_a_run_are_told(witnessed: Witnessed):
    before = moment()
    witnessed.write("node_1", NODE, RUN)
    witnessed.write("node_1", JOURNAL, SUCCEED)

    history = witnessed.history()

    (hold,) = history.holds["e1"]
    assert (hold.node, hold.place) == ("epoch_1", "node_1")
    assert before <= hold.start <= hold.end == history.finished["e1"] <= moment()
    assert list(history.recorded) == [("e1", "first")]
    assert foreign_changes(history) == ([], [])


def test_foreign_end_foreign_history_and_early_rescue_are_told_from_one_another(witnessed: Witnessed):
    witnessed.write("node_1", NODE, RUN)
    witnessed.write("node_2", JOURNAL)
    witnessed.write("node_2", RESCUE)
    witnessed.write("node_2", SUCCEED)
    witnessed.write("node_2", RESCUE.replace("'queued'", "'canceled', finished_at = 2"))

    stale, taken = foreign_changes(witnessed.history())

    assert stale == ["journal of e1 by node_2", "e1 from succeeded to canceled by node_2"]
    assert taken == ["e1 from epoch_1 by node_2"]


def test_rescue_from_a_node_that_was_buried_is_in_order(witnessed: Witnessed):
    witnessed.write("node_1", NODE, RUN)
    witnessed.write("node_2", "DELETE FROM node")
    witnessed.write("node_2", RESCUE)

    history = witnessed.history()

    assert foreign_changes(history) == ([], [])
    assert history.epochs["epoch_1"].removed_by == "node_2"


def test_what_was_rolled_back_is_not_told(witnessed: Witnessed):
    with pytest.raises(psycopg.errors.SyntaxError):
        witnessed.write("node_1", NODE, RUN, "NONSENSE")

    assert witnessed.history().changes == []
