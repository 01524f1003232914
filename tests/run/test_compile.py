"""Workflow documents: what is accepted, and where a mistake is shown."""

from __future__ import annotations

from typing import Any

import pytest

from crossdock.model.errors import Invalid
from crossdock.run.compile import compile_workflow

OUT = {"id": "out", "transform": {"x": 1}}


def errors_of(*steps: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        compile_workflow({"steps": list(steps)})
    return {error.field: error.message for error in caught.value.errors}


def step(**settings: Any) -> dict[str, Any]:
    return {"id": "one", **settings}


def test_a_workflow_may_be_empty():
    assert compile_workflow({"steps": []}).is_quick
    assert compile_workflow(None).steps == ()


def test_a_workflow_with_a_function_is_not_pure():
    workflow = compile_workflow({"steps": [OUT, {"id": "call", "python": {"function": "work:do"}}, step(respond={})]})

    assert not workflow.is_quick
    assert [step.precedes_effect for step in workflow.steps] == [True, False, False]


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({}, "", "exactly one of"),
        ({"transform": {}, "fail": {"message": "x"}}, "", "has transform, fail"),
        ({"transfrom": {}}, ".transfrom", "not known here"),
        ({"transform": {"total": "{{ body.x | uper }}"}}, ".transform.total", "did you mean upper"),
        ({"transform": {"a": ["{{ bdy.x }}"]}}, ".transform.a[0]", "there is no 'bdy'"),
        ({"transform": "{{ item }}"}, ".transform", "there is no 'item'"),
        ({"transform": {"$each": {"over": "{{ body }}"}}}, ".transform.$each", "stands alone"),
        ({"transform": {"$each": {"over": "{{ body }}", "value": 1, "x": 1}}}, ".transform.$each.x", "only"),
        ({"transform": {"$each": {"over": "{{ body }}", "value": 1, "as": "body"}}}, ".transform.$each.as", "your own"),
        ({"transform": "{{ steps.two }}"}, "", "there is no step 'two'"),
        ({"transform": 1, "when": "body.x ="}, ".when", "unexpected"),
        ({"transform": 1, "when": 5}, ".when", "an expression"),
        ({"transform": 1, "on_error": "ignore"}, ".on_error", "fail or continue"),
        ({"transform": 1, "notes": 5}, ".notes", "text"),
        ({"transform": 1, "timeout": "60"}, ".timeout", "ISO 8601"),
        ({"transform": 1, "timeout": "P1M"}, ".timeout", "months"),
        ({"transform": 1, "timeout": "PT0S"}, ".timeout", "longer than nothing"),
        ({"transform": 1, "timeout": "P2D"}, ".timeout", "3600 seconds"),
        ({"transform": 1, "retry": {"attempts": 0}}, ".retry.attempts", "1 to 100"),
        ({"transform": 1, "retry": {"attempts": True}}, ".retry.attempts", "1 to 100"),
        ({"transform": 1, "retry": {"delay": 5}}, ".retry.delay", "ISO 8601"),
        ({"transform": 1, "retry": {"factor": 0.5}}, ".retry.factor", "1 to 10"),
        ({"transform": 1, "retry": {"tries": 5}}, ".retry.tries", "not known here"),
        ({"transform": 1, "retry": 5}, ".retry", "an object"),
        ({"python": {"arguments": {}}}, ".python.function", "needed"),
        ({"python": {"function": "os.system"}}, ".python.function", "module:name"),
        ({"python": {"function": "work:do", "arguments": []}}, ".python.arguments", "an object"),
        ({"python": {"function": "work:do", "arguments": {"a b": 1}}}, ".python.arguments.a b", "name of an argument"),
        ({"respond": {"json": 1, "text": "a"}}, ".respond.text", "there is a json already"),
        ({"respond": {"status": 100}}, ".respond.status", "200 to 599"),
        ({"respond": {"status": 600}}, ".respond.status", "200 to 599"),
        ({"respond": {"status": "ok"}}, ".respond.status", "200 to 599"),
        ({"respond": {"status": True}}, ".respond.status", "200 to 599"),
        ({"respond": {"status": 204, "json": 1}}, ".respond.json", "can't have a body"),
        ({"respond": {"headers": {"Transfer-Encoding": "chunked"}}}, ".respond.headers.Transfer-Encoding", "server"),
        ({"respond": {"headers": {"a b": "c"}}}, ".respond.headers.a b", "header's name"),
        ({"respond": {"headers": {"x": "a\r\nb: c"}}}, ".respond.headers.x", "can't carry"),
        ({"respond": {"text": 5}}, ".respond.text", "text is needed"),
        ({"fail": {}}, ".fail.message", "needed"),
        ({"fail": {"message": "x", "kind": "Not A Word"}}, ".fail.kind", "short word"),
        ({"fail": {"message": "x", "permanent": "yes"}}, ".fail.permanent", "true or false"),
        ({"assert": {"that": [], "message": "x"}}, ".assert.that", "at least one"),
        ({"assert": {"that": ["body.x", "(body"], "message": "x"}}, ".assert.that[1]", "closing bracket"),
        ({"assert": {"that": "body.x"}}, ".assert.message", "needed"),
    ],
)
def test_a_mistake_is_shown_where_it_is(settings, field, message):
    errors = errors_of(step(**settings))

    assert message in errors[f"workflow.steps[0]{field}"]


@pytest.mark.parametrize("step_id", ["", "1a", "a-b", "a" * 65, 5, None, "é"])
def test_an_id_is_a_plain_name(step_id):
    assert "workflow.steps[0].id" in errors_of({"id": step_id, "transform": 1})


def test_an_id_is_used_once():
    assert "taken by workflow.steps[0]" in errors_of(OUT, OUT)["workflow.steps[1].id"]


def test_a_later_step_can_not_be_referred_to():
    errors = errors_of(step(transform="{{ steps.out.x }}"), OUT)

    assert "comes later" in errors["workflow.steps[0]"]


def test_a_step_can_not_refer_to_itself():
    assert "comes later" in errors_of(step(transform=1, when="steps.one"))["workflow.steps[0]"]


def test_every_mistake_is_told_at_once():
    errors = errors_of(step(transform="{{ x }}", on_error="no"), {"id": "1"}, "nothing")

    assert set(errors) >= {
        "workflow.steps[0].transform",
        "workflow.steps[0].on_error",
        "workflow.steps[1].id",
        "workflow.steps[2]",
    }


@pytest.mark.parametrize("document", [5, [], {"steps": {}}, {"steps": [], "step": []}, {}, {"steps": [OUT] * 201}])
def test_a_document_has_a_list_of_steps(document):
    with pytest.raises(Invalid):
        compile_workflow(document)


def test_a_missing_function_is_refused_when_functions_are_known(functions_of):
    functions = functions_of("def book(order): ...\n\ndef _hidden(): ...\n")
    steps = [{"id": "call", "python": {"function": "work:bok"}}]

    with pytest.raises(Invalid, match="work has no function 'bok'; there are: book"):
        compile_workflow({"steps": steps}, 1, functions)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"wrong": 1}, "missing a required argument: 'order'"),
        ({"order": 1, "wrong": 2}, "unexpected keyword argument 'wrong'"),
        ({}, "missing a required argument: 'order'"),
    ],
)
def test_arguments_that_a_function_does_not_take_are_refused(functions_of, arguments, words):
    functions = functions_of("def book(order, *, context, note=None): ...\n")
    call = {"function": "work:book", "arguments": arguments}

    with pytest.raises(Invalid, match=words) as caught:
        compile_workflow({"steps": [{"id": "c", "python": call}]}, 1, functions)

    assert caught.value.errors[0].field == "workflow.steps[0].python.arguments"


def test_arguments_that_a_function_takes_are_accepted(functions_of):
    functions = functions_of("def book(order, *, context, **more): ...\n")
    call = {"function": "work:book", "arguments": {"order": 1, "other": 2}}

    assert compile_workflow({"steps": [{"id": "c", "python": call}]}, 1, functions).steps
