"""How a node looks to others."""

from __future__ import annotations

from enum import StrEnum

SILENT_SHARE = 0.5
"""The share of a lease's time to live without a heartbeat after which a node is called silent; its work is its own
until the whole of it is over."""


class NodeState(StrEnum):
    WORKING = "working"
    LEAVING = "leaving"
    """It finishes what it has, and takes nothing more."""
    SILENT = "silent"
    """It has not been heard of for some time: it hangs, is cut off, or has died."""


def judge_node(heartbeat_age: float, ttl_seconds: float, *, is_leaving: bool) -> NodeState:
    """The state of a node whose last heartbeat was so many seconds ago."""
    if heartbeat_age > ttl_seconds * SILENT_SHARE:
        return NodeState.SILENT
    return NodeState.LEAVING if is_leaving else NodeState.WORKING
