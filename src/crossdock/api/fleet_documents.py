"""The documents about nodes, and about what waits for them, as OpenAPI describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossdock.api.documents import Document, IntegrationName, Lane


class Leases(Document):
    run: int = Field(description="Runs, those in lanes too.")
    lane: int
    delivery: int
    bulk_job: int


class AboutDatabase(Document):
    kind: Literal["sqlite", "postgresql"]
    version: str


class About(Document):
    version: str = Field(description="Of Crossdock.")
    database: AboutDatabase


class Node(Document):
    id: str = Field(description="A new one with each start, and each time that others took the process for dead.")
    host: str
    pid: int
    version: str
    roles: list[str]
    address: str | None = Field(description="Where it listens, as it was told.")
    state: Literal["working", "leaving", "silent"] = Field(
        description="`silent`: no heartbeat for half of the time after which others take its work over."
    )
    started_at: str
    heartbeat_at: str
    heartbeat_age_seconds: float
    clock_skew_seconds: float = Field(description="How far its clock is before the database's; negative: behind it.")
    hears_signals: bool = Field(description="Whether it hears what other nodes tell; else it finds it by looking.")
    key_ids: list[str] = Field(description="Names of the master keys with which it opens secrets.")
    leases: Leases
    is_this: bool = Field(description="Whether it is the process that answers.")


class DeepLane(Lane):
    depth: int = Field(description="Unfinished runs in it, the head included.")
    head_age_seconds: float
    node_id: str | None = Field(description="The node that owns it.")
    why: str = Field(description="In words, what its head waits for.")


class Backlog(Document):
    integration: IntegrationName
    unfinished: int
    queued: int
    running: int
    retrying: int
    waiting: int = Field(description="Those that wait for a delay, an operator, or that are parked.")
    blocked: int = Field(description="Of the waiting: heads of lanes for which an operator has to decide.")
    parked: int = Field(description="Of the waiting: those that somebody took out of their lane.")
    oldest_received_at: str | None = Field(description="Of what is not parked.")
    oldest_age_seconds: float | None
    replies_waiting: int = Field(description="Replies that wait for their first or next try.")
    replies_overdue_seconds: float | None = Field(description="How long ago the first of these was due.")
    complete: bool = Field(description="False over a million unfinished runs of one kind: not all are counted.")
    lanes: list[DeepLane] = Field(description="The ten deepest.")
