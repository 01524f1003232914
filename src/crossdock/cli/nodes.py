"""`crossdock nodes` and `crossdock backlog`: who works on a database, and what waits for them."""

from __future__ import annotations

import typer

from crossdock.cli import output
from crossdock.cli.options import DEFAULT_URL, AsJson, Token, Url, connect, show_json
from crossdock.model.outcome import Json


def nodes(as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """List the processes that work on the server's database: whether they live, and what they hold."""
    with connect(url, token) as api:
        found = api.get("nodes")["items"]
    if as_json:
        show_json(found)
        return
    titles = ("NODE", "STATE", "HOST", "PID", "VERSION", "ROLES", "UP", "BEAT", "RUNS", "LANES", "DELIVERIES", "JOBS")
    output.show_table(titles, [_node_row(node) for node in found], empty="No process is known; start one.")


def _node_row(node: Json) -> tuple[object, ...]:
    leases = node["leases"]
    up = output.between(node["started_at"], node["heartbeat_at"])
    return (
        node["id"] + (" *" if node["is_this"] else ""),
        node["state"],
        node["host"],
        node["pid"],
        node["version"],
        ",".join(node["roles"]),
        output.duration_words(up or 0.0),
        f"{output.duration_words(node['heartbeat_age_seconds'])} ago",
        leases["run"],
        leases["lane"],
        leases["delivery"],
        leases["bulk_job"],
    )


def backlog(as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Show what is unfinished, the integration with most first, and what its deepest lanes wait for."""
    with connect(url, token) as api:
        found = list(api.items("backlog"))
    if as_json:
        show_json(found)
        return
    titles = ("INTEGRATION", "QUEUED", "RUNNING", "RETRYING", "WAITING", "BLOCKED", "OLDEST", "REPLIES")
    output.show_table(titles, [_backlog_row(each) for each in found], empty="Nothing waits.")
    lanes = [(each["integration"]["name"], lane) for each in found for lane in each["lanes"]]
    if lanes:
        typer.echo()
        lane_titles = ("INTEGRATION", "LANE", "DEPTH", "HEAD", "AGE", "WHY")
        output.show_table(lane_titles, [_lane_row(name, lane) for name, lane in lanes], empty="")


def _backlog_row(each: Json) -> tuple[object, ...]:
    age = each["oldest_age_seconds"]
    return (
        each["integration"]["name"],
        each["queued"],
        each["running"],
        each["retrying"],
        each["waiting"],
        each["blocked"],
        "" if age is None else output.duration_words(age),
        each["replies_waiting"],
    )


def _lane_row(integration: str, lane: Json) -> tuple[object, ...]:
    age = output.duration_words(lane["head_age_seconds"])
    return integration, lane["id"], lane["depth"], lane["head"]["id"], age, lane["why"]
