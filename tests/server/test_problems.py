"""Errors as HTTP answers, and their reference."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from crossdock.model import errors
from crossdock.server.problems import PROBLEMS, RUN_TIMEOUT, problem_answer, problem_response

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "problems.md"


def test_every_error_that_a_request_can_cause_has_an_answer() -> None:
    made = {
        errors.MethodNotAllowed: lambda kind: kind("no", ("GET",)),
        errors.TooMany: lambda kind: kind("no", 1.0),
    }
    for kind in [*errors.Refused.__subclasses__(), errors.StoreUnavailable]:
        answer = problem_response(made.get(kind, lambda kind: kind("no"))(kind))

        assert answer.status != 500, kind
        assert json.loads(answer.body)["detail"] == "no"


def test_fields_are_listed() -> None:
    error = errors.Invalid("1 field is not right.", (errors.FieldError("trigger.methods", "one at least"),))

    document = json.loads(problem_response(error).body)

    assert document["type"] == "/problems/invalid"
    assert document["errors"] == [{"field": "trigger.methods", "message": "one at least"}]


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (errors.MethodNotAllowed("no", ("GET", "PUT")), (b"allow", b"GET, PUT")),
        (errors.TooMany("no", 0.2), (b"retry-after", b"1")),
        (errors.StoreUnavailable("no", 2.5), (b"retry-after", b"3")),
        (errors.Unauthenticated("no"), (b"www-authenticate", b'Bearer realm="crossdock"')),
    ],
)
def test_what_to_do_next_stands_in_the_header(error: Exception, field: tuple[bytes, bytes]) -> None:
    assert field in problem_response(error).headers


def test_a_fault_of_the_program_is_told_by_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="crossdock"):
        answer = problem_response(ZeroDivisionError("secret inside"))

    document = json.loads(answer.body)
    assert answer.status == 500
    assert b"secret inside" not in answer.body
    assert caplog.records[0].facts == {"id": document["error_id"]}  # type: ignore[attr-defined]


def test_further_members_are_added() -> None:
    document = json.loads(problem_answer(RUN_TIMEOUT, "not yet", event_id="evt_1").body)

    assert (document["status"], document["event_id"]) == (504, "evt_1")


def test_the_reference_lists_exactly_the_problems_there_are() -> None:
    listed = re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)

    assert listed == [(problem.slug, str(problem.status)) for problem in PROBLEMS]
