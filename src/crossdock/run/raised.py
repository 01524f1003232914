"""What Python functions raise: made harmless for whoever called them, and told in one line.

Standard library only: worker processes import this, and each of them pays for it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

_HERE = str(Path(__file__).parents[1])


class Exited(Exception):
    """A function tried to end the process (`sys.exit`), or raised what nobody may catch."""


def catchable(error: BaseException) -> Exception:
    """An exception that asyncio hands on without ending the event loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    exited = Exited(f"{type(error).__name__}: {said(error)}")
    return exited.with_traceback(error.__traceback__)


def described(error: BaseException, folder: Path | None) -> str:
    """The error's type and text, and the line of the user's own code that it comes from."""
    words = said(error)
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    place = _place_of(error, folder)
    return text[:500] + (f" ({place})" if place and place not in text else "")


def said(error: BaseException) -> str:
    """The error's own text."""
    try:
        return str(error)
    except Exception:  # it is written by whoever wrote the function
        return ""


def innermost(frames: Iterable[tuple[str, int]], folder: Path | None) -> str | None:
    """Of frames (file and line, innermost last), the last one that is the user's own code: `orders.py:12`."""
    known = list(frames)
    own = [frame for frame in known if folder is not None and Path(frame[0]).is_relative_to(folder)]
    if not own:
        own = [frame for frame in known if not frame[0].startswith((_HERE, "<"))]
    if not own:
        return None
    name = Path(own[-1][0])
    shown = name.relative_to(folder) if folder is not None and name.is_relative_to(folder) else Path(name.name)
    return f"{shown}:{own[-1][1]}"


def _place_of(error: BaseException, folder: Path | None) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = traceback.walk_tb(error.__traceback__)
    return innermost(((frame.f_code.co_filename, line) for frame, line in frames), folder)
