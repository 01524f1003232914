"""What a list of events shows: the fields of its URL, and the links that change one of them.

`status` may name several, divided by commas. Times are `from` and `until`, RFC 3339 or without a zone in UTC; or
`last`, a duration that ends now. An integration may stand in the path instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from crossdock.manage.events import EventQuery
from crossdock.ui.visit import Visit

CONDITIONS = ("status", "integration", "key", "method", "q", "from", "until", "last", "reply", "replay_of")
"""The fields that choose events, in the order of URLs."""
QUICK_TIMES = (("PT15M", "15 min"), ("PT1H", "1 h"), ("PT24H", "24 h"), ("P7D", "7 d"), ("P30D", "30 d"))
_ORDER = ("failed", "retrying", "waiting", "queued", "running", "succeeded", "canceled")
"""The states as they stand in the list of choices: what needs attention first."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A choice that is a link."""

    href: str
    words: str
    is_on: bool
    state: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The fields of a list's URL, without empty ones. `owner` is the integration that the path names."""

    fields: dict[str, str]
    owner: str | None = None
    since: str | None = None
    """When `last` begins."""

    @classmethod
    def of(cls, visit: Visit, owner: str | None = None) -> Wanted:
        """Read from the URL. Invalid when `last` is no duration."""
        fields = {name: visit.query(name) for name in CONDITIONS if visit.query(name)}
        if owner is not None:
            fields.pop("integration", None)
        return cls.from_fields(visit, fields, owner)

    @classmethod
    def from_fields(cls, visit: Visit, fields: dict[str, str], owner: str | None = None) -> Wanted:
        since = visit.cases.events.since(fields["last"]) if "last" in fields else None
        return cls(fields, owner, since)

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(filter(None, (word.strip() for word in self.fields.get("status", "").split(","))))

    @property
    def integration(self) -> str | None:
        """The one whose events are shown; None for all."""
        return self.owner or self.fields.get("integration")

    @property
    def query(self) -> EventQuery:
        """As the use cases take it."""
        fields = self.fields
        return EventQuery(
            integration=self.integration,
            status=fields.get("status"),
            q=fields.get("q"),
            key=fields.get("key"),
            received_after=self.since or _zoned(fields.get("from")),
            received_before=None if self.since else _zoned(fields.get("until")),
            has_failed_reply=True if fields.get("reply") == "failed" else None,
            method=fields.get("method"),
            replay_of=fields.get("replay_of"),
        )

    def selection(self) -> dict[str, Any]:
        """As bulk jobs keep it: with times that stand still."""
        query = self.query
        given = {name: getattr(query, name) for name in EventQuery.__dataclass_fields__}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def is_narrowed(self) -> bool:
        return bool(self.fields)

    @property
    def is_live(self) -> bool:
        """Whether new events may belong to what is shown."""
        return not self.fields.keys() & {"until", "replay_of"}

    # --- links -------------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """`?status=failed&...`, empty without conditions."""
        return "?" + urlencode(self.fields) if self.fields else ""

    def but(self, **changes: str | None) -> str:
        """The query with other values in some fields; `from_` stands for `from`. Always begins with `?`."""
        named = {name.rstrip("_"): value for name, value in changes.items()}
        merged = {name: named.get(name, self.fields.get(name)) for name in (*CONDITIONS, "view", "cursor", "format")}
        return "?" + urlencode({name: value for name, value in merged.items() if value})

    def narrowed(self, **changes: str | None) -> Wanted:
        named = {name.rstrip("_"): value for name, value in changes.items()}
        merged = {**self.fields, **named}
        return replace(self, fields={name: value for name, value in merged.items() if value})

    def state_chips(self) -> list[Chip]:
        return [
            Chip(self.but(status=_toggled(self.states, state)), state.capitalize(), state in self.states, state)
            for state in _ORDER
        ]

    def time_chips(self) -> list[Chip]:
        chosen = self.fields.get("last")
        is_any = not self.fields.keys() & {"last", "from", "until"}
        return [
            *(Chip(self.but(last=last, from_=None, until=None), words, last == chosen) for last, words in QUICK_TIMES),
            Chip(self.but(last=None, from_=None, until=None), "Any time", is_any),
        ]


def _toggled(states: tuple[str, ...], state: str) -> str:
    return ",".join(one for one in _ORDER if (one in states) != (one == state))


def _zoned(text: str | None) -> str | None:
    """A time with a zone: what a field for local times gives without scripts is in UTC."""
    if text is None:
        return None
    has_zone = text.endswith(("Z", "z")) or "+" in text[10:] or "-" in text[10:]
    return text if has_zone else f"{text}Z"
