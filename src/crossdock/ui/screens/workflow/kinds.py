"""The kinds of steps as people choose and edit them: a line for each, its fields in plain words, and how it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from crossdock.model.outcome import Json

Shape: TypeAlias = Literal["line", "scalar", "text", "tree", "choice", "lines"]
"""How a field is written: a line of text; a number, true or text; several lines; YAML; one of a few; a text a line."""

METHODS = ("", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a step's form; `key` is the way to it inside of what stands under the kind's name."""

    key: str
    label: str
    shape: Shape = "line"
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False
    has_expressions: bool = True
    rows: int = 4
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of step. `begins` is what a new one says."""

    name: str
    words: str
    line: str
    begins: Json
    settings: tuple[Setting, ...] = ()
    contents: tuple[tuple[str, str], ...] = ()
    """Which keys can hold the content, of which a step has one at most."""


def _pairs(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value or "By itself") for value in values)


_JSON, _TEXT = ("json", "JSON"), ("text", "Text")
_NO_CONTENT = ("", "Nothing")

_HTTP = Kind(
    "http",
    "HTTP call",
    "Calls another system and keeps its answer.",
    {"method": "POST", "url": "https://example.com/", "json": {}},
    (
        Setting(
            "connection",
            "Connection",
            hint="Its address, credentials and certificates. Empty: the whole URL stands below.",
        ),
        Setting(
            "method", "Method", "choice", "By itself: POST where something is sent, otherwise GET.", _pairs(*METHODS)
        ),
        Setting("url", "URL", hint="With a connection: what comes below its address.", required=True),
        Setting("query", "Query parameters", "tree", "One a line: name: value", rows=2),
        Setting("headers", "Headers", "tree", "One a line: Name: value. Credentials belong into a connection.", rows=2),
        Setting(
            "response",
            "Read the answer as",
            "choice",
            "By itself: as its content type says.",
            _pairs("", "json", "text", "bytes"),
        ),
        Setting(
            "expect",
            "A good answer has",
            "tree",
            "status, json_path and values, for example status: [200, 201]. Empty: any 2xx.",
            rows=2,
            has_expressions=False,
        ),
        Setting(
            "idempotency_header",
            "Idempotency header",
            "scalar",
            "The header with the key that all tries share. Empty: Idempotency-Key. false: none.",
            has_expressions=False,
        ),
    ),
    (_NO_CONTENT, _JSON, ("form", "A form"), _TEXT, ("body", "Text or bytes")),
)

_SQL = Kind(
    "sql",
    "SQL statement",
    "Reads from a database, or writes to it exactly once.",
    {"statement": "SELECT 1", "parameters": {}},
    (
        Setting(
            "connection",
            "Connection",
            hint="The name of a connection of kind sql.",
            required=True,
            has_expressions=False,
        ),
        Setting(
            "statement",
            "Statement",
            "text",
            "Fixed text; :name where a value belongs.",
            required=True,
            has_expressions=False,
            rows=5,
        ),
        Setting("parameters", "Parameters", "tree", "One a line: name: value. All that the statement has.", rows=3),
        Setting(
            "exactly_once",
            "Exactly once",
            "scalar",
            "Empty or true: a write is done once for an event. false: it may be done again after a crash.",
            has_expressions=False,
        ),
    ),
)

_PYTHON = Kind(
    "python",
    "Python function",
    "Calls a function of your own.",
    {"function": "module:function", "arguments": {}},
    (
        Setting(
            "function",
            "Function",
            hint="module:name of a function that the server knows.",
            required=True,
            has_expressions=False,
        ),
        Setting("arguments", "Arguments", "tree", "One a line: name: value"),
        Setting(
            "isolation",
            "Runs in",
            "choice",
            "A process of its own for functions that may hang, leak or crash.",
            (
                ("", "A thread of the server"),
                ("thread", "A thread (said outright)"),
                ("process", "A process of its own"),
            ),
            has_expressions=False,
        ),
    ),
)

_RESPOND = Kind(
    "respond",
    "Respond",
    "Sets the result: what the caller gets, and what the reply carries.",
    {"status": 200, "json": {}},
    (
        Setting("status", "Status", "scalar", "A number from 200 to 599, or an expression. Empty: 200."),
        Setting("headers", "Headers", "tree", "One a line: Name: value", rows=2),
    ),
    (_NO_CONTENT, _JSON, _TEXT, ("body", "Text or bytes")),
)

_EMIT = Kind(
    "emit",
    "Emit",
    "Hands a new event to another integration of this workspace.",
    {"json": "{{ body }}"},
    (
        Setting("integration", "Integration", hint="The name of the integration that gets the event.", required=True),
        Setting("query", "Query parameters", "tree", "One a line: name: value", rows=2),
        Setting("headers", "Headers", "tree", "One a line: Name: value", rows=2),
    ),
    (_JSON, _TEXT),
)

_FOR_EACH = Kind(
    "for_each",
    "For each",
    "Runs the same steps for each item of a list.",
    {"over": "{{ body.items }}", "as": "item", "steps": []},
    (
        Setting("over", "List", hint="An expression that gives a list.", required=True),
        Setting("as", "Name of an item", hint="What the steps inside call it. Empty: item.", has_expressions=False),
        Setting(
            "concurrency",
            "At once",
            "scalar",
            "How many items are in work at once, 1 to 50. Empty: one after the other.",
            has_expressions=False,
        ),
    ),
)

_ASSERT = Kind(
    "assert",
    "Assert",
    "Ends the run unless all conditions hold.",
    {"that": ["{{ body is defined }}"], "message": "something is missing"},
    (
        Setting("that", "Conditions", "lines", "One a line; all of them have to hold.", required=True, rows=3),
        Setting("message", "Message", hint="What is told when one does not hold."),
        Setting("kind", "Kind of failure", hint="A short word. Empty: assertion_failed.", has_expressions=False),
        Setting("status", "Status for the caller", "scalar", "Empty: 502."),
    ),
)

_FAIL = Kind(
    "fail",
    "Fail",
    "Ends the run with a failure of your own words.",
    {"message": "this can't be handled"},
    (
        Setting("message", "Message", required=True),
        Setting("kind", "Kind of failure", hint="A short word. Empty: failed.", has_expressions=False),
        Setting("status", "Status for the caller", "scalar", "Empty: 502."),
        Setting("json", "Body for the caller", "tree", "Empty: a problem document that tells the failure."),
        Setting(
            "permanent",
            "For good",
            "scalar",
            "Empty or true: trying again does not help. false: the run may be tried again.",
            has_expressions=False,
        ),
    ),
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("transform", "Transform", "Builds new values from what came in.", {"value": "{{ body }}"}),
        _HTTP,
        _SQL,
        _PYTHON,
        _RESPOND,
        Kind(
            "switch",
            "Switch",
            "Takes the first branch whose condition holds.",
            {"cases": [{"when": "{{ body.kind == 'a' }}", "steps": []}], "default": []},
        ),
        Kind(
            "parallel",
            "Parallel",
            "Runs branches side by side.",
            {"branches": {"first": [], "second": []}},
        ),
        _FOR_EACH,
        Kind("delay", "Delay", "Waits for a time, or until one. It survives restarts.", {"for": "PT5M"}),
        _EMIT,
        _ASSERT,
        _FAIL,
    )
}

KIND_NAMES = frozenset(KINDS)


def words_of(kind: str) -> str:
    """The name of a kind for people."""
    return KINDS[kind].words if kind in KINDS else "Unknown kind"
