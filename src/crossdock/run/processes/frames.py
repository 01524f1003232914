"""What the server and a worker process say to each other over their channel: frames of a head and JSON.

A head is the frame's kind, whether it is the worker's last, the number of the call, and the size of what follows.
Standard library only: each worker process pays for what this imports.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

HEAD = Struct(">B?II")

SLACK_BYTES = 64 * 1024
"""What an answer may be longer than a step's output, before the process counts as gone mad."""

EXIT_OUT_OF_MEMORY = 71
"""Exit code of a process that has not even the memory to say so."""


class Ask(IntEnum):
    """What the server sends."""

    SET_UP = 1
    """The first frame: {memory, folder, sources}."""
    LOAD = 2
    """"module:name": import it, so that the call itself takes no longer than the function."""
    CALL = 3
    """["module:name", CPU seconds, arguments]."""


class Answer(IntEnum):
    """What a worker process answers with."""

    READY = 1
    """It is set up, or the function is there."""
    MISSING = 2
    """The function is not there; why."""
    RETURNED = 3
    """What the function returned."""
    NOT_JSON = 4
    """The function returned what is not JSON; where and what."""
    RETRY = 5
    """It raised `workflows.Retry`: [message, seconds or null]."""
    STOP = 6
    """It raised `workflows.Stop`: [message, kind]."""
    RAISED = 7
    """It raised anything else; the error in one line."""
    OUT_OF_MEMORY = 8
    """There was no memory left for it, and it did not cope; where."""


def packed(kind: int, number: int, content: bytes, *, is_last: bool = False) -> bytes:
    return HEAD.pack(kind, is_last, number, len(content)) + content
