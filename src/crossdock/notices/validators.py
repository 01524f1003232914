"""Response validators: what the target's answer has to say for a notification to count as delivered.

`$.data` is the answer's JSON body; where that finds nothing the path is tried on the body itself. So `$.data.status`
fits an answer `{"status": "ok"}` as well as `{"data": {"status": "ok"}}`. A validator holds when its path finds
something and everything that it finds is expected; all validators have to hold.

A value is expected when it is the same JSON as an expected value (1 is 1.0), or when both are written alike: people
enter expected values as text, so "5" fits 5 and "true" fits true. Lists, objects and null are compared as JSON only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from crossdock.expressions import json_problem, read_body
from crossdock.expressions.json_path import BadPath, Path, compile_path, is_same
from crossdock.model.outcome import Json

FOUND_VALUES = 10
"""How many of the values that a path finds are shown."""
FOUND_CHARACTERS = 1_000


class ValidatorRefused(ValueError):
    """A validator that can't be used. `index` says which, `field` is `json_path` or `expected_values`."""

    def __init__(self, index: int, field: str, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.field = field


@dataclass(frozen=True, slots=True)
class Validator:
    """Without expected values it is enough that the path finds something."""

    path: Path
    expected: tuple[Json, ...] = ()

    @property
    def json_path(self) -> str:
        return self.path.text


@dataclass(frozen=True, slots=True)
class Validation:
    """How an answer fared. `found` are the first of the values at the path; `problem` says why it did not pass."""

    json_path: str
    found: tuple[Json, ...]
    problem: str | None = None

    @property
    def passed(self) -> bool:
        return self.problem is None


def compile_validators(documents: Sequence[Json]) -> tuple[Validator, ...]:
    """The validators of `[{"json_path", "expected_values"}]`; ValidatorRefused names the one that can't be used."""
    return tuple(_compile(index, document) for index, document in enumerate(documents))


def judge_answer(validators: Sequence[Validator], body: bytes, trouble: str | None = None) -> tuple[Validation, ...]:
    """What each validator finds in an answer's body. One that is not JSON, or not whole (`trouble`), satisfies none."""
    if not validators:
        return ()
    problem = trouble or _problem_of(body)
    if problem is not None:
        return tuple(Validation(one.json_path, (), problem) for one in validators)
    document = read_body("application/json", body)
    return tuple(_judge(one, document) for one in validators)


def _problem_of(body: bytes) -> str | None:
    if not body.strip():
        return "the answer's body is empty, and JSON is needed"
    problem = json_problem(body)
    return None if problem is None else f"the answer is not JSON: {problem}"


def refusal_of(validations: Sequence[Validation]) -> str | None:
    """Why the answer is not what was wanted; None when every validator holds."""
    failed = [one for one in validations if one.problem is not None]
    if not failed:
        return None
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"response validator {failed[0].json_path}: {failed[0].problem}{more}"


def _compile(index: int, document: Json) -> Validator:
    try:
        path = compile_path(document["json_path"])
    except BadPath as error:
        raise ValidatorRefused(index, "json_path", str(error)) from None
    return Validator(path, tuple(document.get("expected_values", ())))


def _judge(validator: Validator, document: Json) -> Validation:
    found = validator.path.find({"data": document}) or validator.path.find(document)
    return Validation(
        validator.json_path, tuple(_brief(value) for value in found[:FOUND_VALUES]), _problem(validator, found)
    )


def _problem(validator: Validator, found: Sequence[Json]) -> str | None:
    if not found:
        return "nothing is found there in the answer"
    wanted = validator.expected
    odd = [value for value in found if wanted and not any(_fits(value, one) for one in wanted)]
    if not odd:
        return None
    expected = " or ".join(_shown(value) for value in wanted[:5])
    more = f" or {len(wanted) - 5} others" if len(wanted) > 5 else ""
    return f"{_shown(odd[0])} is found, and {expected}{more} is expected"


def _fits(value: Json, expected: Json) -> bool:
    if is_same(value, expected):
        return True
    return _is_scalar(value) and _is_scalar(expected) and _as_text(value) == _as_text(expected)


def _is_scalar(value: Json) -> bool:
    return isinstance(value, str | int | float)


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _brief(value: Json) -> Json:
    """The value, or its beginning as text where it is long."""
    text = msgspec.json.encode(value).decode(errors="replace")
    return value if len(text) <= FOUND_CHARACTERS else text[:FOUND_CHARACTERS] + "…"


def _shown(value: Json) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}..."
