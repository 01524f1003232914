"""A PostgreSQL database with a past: a million finished runs, and all that may wait beside them.

Finished events lie 10 ms apart and end a day ago, a hundred thousand in blocked lanes came after them, what is still to
be done came in the last hour. Of the finished runs those of two integrations have their events. Nothing of it is tidied
(autovacuum is off), so that the tests decide about statistics.
"""

from __future__ import annotations

from crossdock.model.time import Instant
from crossdock.store.events import first_id_at
from tests.support.held import START
from tests.support.runs import NODE, OTHER_NODE

NOW: Instant = START
FINISHED = 1_000_000
BLOCKED_LANES, IN_EACH = 1_000, 100
DAY, HOUR = 86_400_000_000, 3_600_000_000

_ENDING = "70008000abcdefabcdef"


def past_id(n: int) -> str:
    """The id of one of the finished events; 1 is the last of them."""
    return f"{first_id_at(NOW - DAY - n * 10_000)}{_ENDING}"


def blocked_id(lane: int) -> str:
    """The head of a blocked lane."""
    return f"{first_id_at(NOW - DAY + (lane * IN_EACH + 1) * 1_000)}{_ENDING}"


def present_id(n: int) -> str:
    """Up to 20,000: to be tried again later. 40,000: in a delay. 41,900: queued. 41,950 and 42,000: of two nodes."""
    return f"{first_id_at(NOW - HOUR + n * 1_000)}{_ENDING}"


_EVENT = """INSERT INTO event (id, integration_id, received_at, method, path, query, headers, content_type, source_ip,
    size, body)"""
_REQUEST = "'POST', '/', '[]', '[]', '', '', 2, '{}'"
_RUN = """INSERT INTO run (event_id, integration_id, state, waiting_for, workflow_number, lane_id, lane_sequence,
    accepted_at, due_at, finished_at, attempts, losses, cancel_requested, lease_node, lease_token)"""
_DELIVERY = """INSERT INTO delivery (id, kind, integration_id, event_id, state, created_at, due_at, expires_at,
    finished_at, attempts)"""
_LANE = """INSERT INTO lane (id, integration_id, key, last_sequence, last_used_at, dormant, lease_node, lease_token)"""

_TABLES = ("run", "event", "lane", "delivery", "journal", "dedupe")
_SETTING_UP = f"""
CREATE FUNCTION id_at(ms bigint) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN 'evt_' || lpad(to_hex(ms), 12, '0') || '{_ENDING}';
CREATE FUNCTION integration_of(n bigint) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN 'int_' || lpad((n % 20)::text, 2, '0');
INSERT INTO workspace (id, slug, name, created_at) VALUES ('ws_1', 'default', 'default', 1);
INSERT INTO integration (id, workspace_id, name, type, enabled, path, document, workflow_number, revision, created_at,
    updated_at)
SELECT integration_of(n), 'ws_1', n::text, 't', true, n::text, '{{}}', 1, 1, 1, 1 FROM generate_series(0, 19) n;
INSERT INTO node (id, host, pid, version, started_at, heartbeat_at)
VALUES ('{NODE}', 'h', 1, '1', 1, 1), ('{OTHER_NODE}', 'h', 2, '1', 1, 1);
INSERT INTO dedupe (integration_id, key, event_id, expires_at)
SELECT integration_of(n), 'k' || n, 'e', {NOW} + n * 1000 FROM generate_series(1, 100000) n;
"""
_PAST = f"""
CREATE TEMP TABLE past AS
SELECT id_at(({NOW} - {DAY}) / 1000 - n * 10) AS id, integration_of(n) AS owner, {NOW} - {DAY} - n * 10000 AS at, n
FROM generate_series({FINISHED}::bigint, 1, -1) n;
{_RUN}
SELECT id, owner, CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END, NULL, 1, NULL, NULL, at, at, at, 1, 0,
    false, NULL, NULL FROM past;
{_EVENT} SELECT id, owner, at, {_REQUEST} FROM past WHERE n % 20 < 2;
INSERT INTO journal (event_id, position, steps) SELECT id, 0, '[]' FROM past WHERE n % 20 = 1;
{_DELIVERY} SELECT 'dlv_' || id, 'reply', owner, id, 'delivered', at, at, NULL, at, 1 FROM past WHERE n % 20 = 1;
"""
_BLOCKED = f"""
CREATE TEMP TABLE blocked AS
SELECT id_at(({NOW} - {DAY}) / 1000 + l * {IN_EACH} + p) AS id, integration_of(l) AS owner,
    integration_of(l) || ':k' || l AS lane, p AS place
FROM generate_series(1::bigint, {BLOCKED_LANES}) l, generate_series(1, {IN_EACH}) p;
{_EVENT} SELECT id, owner, {NOW} - {DAY}, {_REQUEST} FROM blocked;
{_RUN}
SELECT id, owner, CASE WHEN place = 1 THEN 'waiting' ELSE 'queued' END, CASE WHEN place = 1 THEN 'operator' END, 1,
    lane, place, 1, 1, NULL, 0, 0, false, NULL, NULL FROM blocked;
{_LANE} SELECT DISTINCT lane, owner, lane, {IN_EACH}, {NOW}, true, NULL, NULL FROM blocked;
{_LANE}
SELECT integration_of(n) || ':o' || n, integration_of(n), 'o' || n, 0, {NOW}, n > 50,
    CASE WHEN n <= 50 THEN '{NODE}' END, CASE WHEN n <= 50 THEN 'lt' || n END FROM generate_series(1, 20000) n;
"""
_PRESENT = f"""
CREATE TEMP TABLE present AS
SELECT id_at(({NOW} - {HOUR}) / 1000 + n) AS id, integration_of(n) AS owner, n FROM generate_series(1::bigint, 42000) n;
{_EVENT} SELECT id, owner, {NOW} - {HOUR}, {_REQUEST} FROM present;
{_RUN}
SELECT id, owner,
    CASE WHEN n <= 20000 THEN 'retrying' WHEN n <= 40000 THEN 'waiting' WHEN n <= 41900 THEN 'queued'
        ELSE 'running' END,
    CASE WHEN n > 20000 AND n <= 40000 THEN 'delay' END, 1, NULL, NULL, {NOW},
    CASE WHEN n <= 40000 THEN {NOW} + {HOUR} ELSE {NOW} - 1 END, NULL, 1, 0, false,
    CASE WHEN n > 41950 THEN '{OTHER_NODE}' WHEN n > 41900 THEN '{NODE}' END, CASE WHEN n > 41900 THEN 't' || n END
FROM present;
{_DELIVERY}
SELECT 'dlv_' || id, 'reply', owner, id, 'retrying', {NOW}, {NOW} + {HOUR}, {NOW} + 2 * {HOUR}, NULL, 1
FROM present WHERE n <= 20000;
"""
FILL = (
    *(f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in _TABLES),
    *(statement for part in (_SETTING_UP, _PAST, _BLOCKED, _PRESENT) for statement in part.split(";\n") if statement),
)
"""Statements that make it, for an empty migrated database. They take about 30 s."""
