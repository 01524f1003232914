"""The story of an event for pages and programs: a sentence, and the bars of its waterfall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from crossdock.model.outcome import Json
from crossdock.model.story import Waterfall, summary, waterfall
from crossdock.model.time import Instant


def story_of(event: Mapping[str, Any], now: Instant, accepted: str | None = None) -> Json:
    """The story of an event's document as it is at a moment. `accepted` is how its first time is to be written."""
    picture = waterfall(event, now)
    return {"summary": summary(event, accepted), **waterfall_document(picture)}


def waterfall_document(picture: Waterfall) -> Json:
    return {"duration_ms": picture.duration_ms, "bars": [asdict(bar) for bar in picture.bars]}
