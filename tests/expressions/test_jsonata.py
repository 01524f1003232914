"""JSONata: compiled and checked when a workflow is saved, evaluated in a process that can be ended."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from crossdock.expressions import Uncompilable
from crossdock.expressions.jsonata import compile_jsonata
from crossdock.expressions.names import event_names
from crossdock.model.errors import Invalid
from crossdock.run.compile import compile_workflow
from crossdock.run.functions import Functions, Isolation
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import STEP_NAMES
from crossdock.run.steps.transform import Reshape, Transform, compile_transform
from tests.run.walking import event
from tests.support.held import HeldClock
from tests.support.outside import outside_of

BODY = {
    "number": 17,
    "customer": {"name": "Ann", "id": 9_007_199_254_740_993},
    "lines": [{"sku": "bolt", "quantity": 4, "price": 0.5}, {"sku": "nut", "quantity": 10, "price": 0.25}],
    "text": "a" * 40 + "!",
}


@pytest.fixture(scope="module")
async def functions(anyio_backend: str) -> AsyncIterator[Functions]:
    """Without a folder: only the processes for expressions are used."""
    made = Functions(None, 1, Isolation(processes=1))
    yield made
    made.close()


def compiled(source: Any, names: frozenset[str] = STEP_NAMES) -> Reshape | Transform:
    return compile_transform({"jsonata": source}, "transform", Compiling(names, lambda *_: ()))


async def evaluated(
    functions: Functions, source: str, names: Mapping[str, Any] | None = None, timeout: float | None = None
) -> Any:
    """What a transform with this expression ends in."""
    step = compiled(source, STEP_NAMES | (names or {}).keys())
    context = StepContext(event(), "shape", 1, timeout, outside_of(functions), HeldClock())
    return await step.perform(step.prepare({**event_names(event(BODY)), **_known(), **(names or {})}), context)


def _known() -> dict[str, Any]:
    names = event_names(event(BODY))
    return {name: names[name] for name in STEP_NAMES} | {"steps": {"found": {"tax": 0.2}, "skipped": None}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("body.lines.sku", ["bolt", "nut"]),
        ("$sum(body.lines.(quantity * price))", 4.5),
        ("body.lines[quantity > 5].sku", "nut"),
        ('{"order": body.number, "skus": [body.lines.sku]}', {"order": 17, "skus": ["bolt", "nut"]}),
        ("body.lines{sku: quantity}", {"bolt": 4, "nut": 10}),
        ("body.lines^(>quantity).sku", ["nut", "bolt"]),
        ("$uppercase(body.customer.name) & '-' & body.number", "ANN-17"),
        ("steps.found.tax * 10", 2),
        ("steps.skipped", None),
        ("body.missing.deeper", None),
        ("event.method & ' ' & event.path", "POST /orders"),
        ("($double := function($x) { $x * 2 }; $map(body.lines.quantity, $double))", [8, 20]),
        ("$keys(body.lines[0])", ["sku", "quantity", "price"]),
        ("function($x) { $x }", None),
    ],
)
async def test_an_expression_gives_json(functions: Functions, source, value):
    outcome = await evaluated(functions, source)

    assert outcome.output == value


REFERENCE = (Path(__file__).parents[2] / "docs/reference/expressions.md").read_text(encoding="utf-8")
SECTION = REFERENCE.partition("\n## JSONata\n")[2]
EXAMPLES = re.findall(r"^\| `(.*)` \| `(.*)` \|$", SECTION, re.MULTILINE)


def test_the_reference_has_examples():
    assert len(EXAMPLES) > 5


@pytest.mark.parametrize(("source", "value"), EXAMPLES)
async def test_the_examples_of_the_reference_hold(functions: Functions, source, value):
    seen = re.search(r"see `(.*?)`", SECTION, re.DOTALL)
    assert seen is not None

    outcome = await evaluated(functions, source, json.loads(seen[1]))

    assert outcome.output == json.loads(value)


async def test_the_mapping_of_the_reference_gives_an_order(functions: Functions):
    (document,) = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    source = YAML(typ="safe").load(document)["steps"][0]["transform"]["jsonata"]

    outcome = await evaluated(functions, source)

    assert outcome.output["total"] == 4.5
    assert outcome.output["lines"] == [{"sku": "BOLT", "total": 2}, {"sku": "NUT", "total": 2.5}]


async def test_names_that_blocks_add_are_there(functions: Functions):
    assert (await evaluated(functions, "line.sku", {"line": {"sku": "bolt"}})).output == "bolt"


# --- regular expressions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("$match('a1 b22', /[a-z]([0-9]+)/).groups", ["1", "22"]),
        ("$match('a1 b22', /[0-9]+/, 1).index", 1),
        ("$match('😀1', /[0-9]/).index", 2),
        ("$match('ab', /(a)|(b)/).groups", ["a", None, None, "b"]),
        ("$contains('ab', /[0-9]/)", False),
        ("$contains('xAY', /a/i)", True),
        ("$match('a\nb', /^./m).match", ["a", "b"]),
        ("$replace('😀1é22', /[0-9]+/, '<$0>')", "😀<1>é<22>"),
        ("$replace('ab', /(a)(b)/, '$2$1')", "ba"),
        ("$replace('a1b2', /[0-9]/, function($m) { $string($number($m.match) * 10) })", "a10b20"),
        ("$split('a, b;c', /[,;] */)", ["a", "b", "c"]),
        ("body.lines[sku ~> /^b/].quantity", 4),
        ("'a/b' ~> /[/]b\\/?/", {"match": "/b", "start": 1, "end": 3, "groups": []}),
        ("$match('A', /\\u0041/).match", "A"),
        ("body.number / 2 / body.number", 0.5),
        ("[body.lines.quantity][0] /2/ 2 & '/a/' & body.`text`[0] /* /b/ */", f"1/a/{BODY['text']}"),
        ("body.lines.*[0] /* not /this/ */ ~> $count()", 2),
        ("$map(['1', 'a'], function($v) { $contains($v, /[0-9]/) ? 4 / 2 : /x/ ~> $type() })", [2, "function"]),
    ],
)
async def test_regular_expressions_are_answered_by_re2(functions: Functions, source, value):
    assert (await evaluated(functions, source)).output == value


async def test_a_regular_expression_takes_no_longer_for_a_text_made_for_it(functions: Functions):
    outcome = await evaluated(functions, "$contains($pad('', 100000, 'a') & '!', /^(a+)+$/)", timeout=10)

    assert outcome.output is False


@pytest.mark.parametrize("pattern", ["a(?=b)", "(a)\\1", "(?<!a)b", "a{1,5000}"])
def test_what_re2_can_not_do_is_refused(pattern):
    with pytest.raises(Invalid, match="is not one of RE2's: "):
        compiled(f"$contains(body.text, /{pattern}/)")


async def test_a_match_of_no_length_is_refused(functions: Functions):
    assert "no length" in (await evaluated(functions, "$match('abc', /x*/)")).failure.message


async def test_a_place_behind_a_regular_expression_is_right(functions: Functions):
    outcome = await evaluated(functions, "$contains('a', /[0-9]+/) ?\n 1 : 'a' - 1")

    assert outcome.failure.message.endswith("(line 2, column 10)")


# --- pure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["$now()", "$millis()", "$random()", "$shuffle([1..100])"])
async def test_the_clock_and_chance_stand_still(functions: Functions, source):
    first, second = await evaluated(functions, source), await evaluated(functions, source)

    assert first.output == second.output


async def test_now_is_when_the_event_came(functions: Functions):
    outcome = await evaluated(functions, "$fromMillis($millis()) = $now() and $now() = event.received_at")

    assert outcome.output is True


# --- what is refused when it is saved ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("body.(", 'Expected ")" before end of expression (line 1, column 7)'),
        ("{\n  'a': 1,\n  'b' 2\n}", "(line 3, column"),
        ("$eval('1')", "$eval is not there"),
        ("($run := $eval; $run(body.text))", "$eval is not there"),
        ("$sume(body.lines)", "there is no $sume"),
        ("$rate * 2", "there is no $rate"),
        ("bdy.lines", "there is no 'bdy'; the names are body, event, headers, query, steps, vars"),
        ("(" * 30_000, "nested too deeply"),
        ("x" * 70_000, "longer than 64 KiB"),
        ("'\ud800'", "surrogate"),
        (["body"], "is text"),
        (None, "is text"),
    ],
)
def test_a_mistake_is_refused_with_its_place(source, message):
    with pytest.raises(Invalid) as refused:
        compiled(source)

    (error,) = refused.value.errors
    assert error.field == "transform.jsonata"
    assert message in error.message


def test_a_step_that_is_not_there_is_refused():
    steps = [{"id": "a", "transform": {"jsonata": "steps.b.x & steps.a"}}, {"id": "b", "transform": 1}]

    with pytest.raises(Invalid) as refused:
        compile_workflow({"steps": steps})

    assert "'a'" in str(refused.value.errors)
    assert "step 'b' comes later" in str(refused.value.errors)


def test_without_the_extra_a_workflow_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jlens", None)

    with pytest.raises(Uncompilable, match=r"pip install 'crossdock\[jsonata\]'"):
        compile_jsonata("body", "transform.jsonata", names=STEP_NAMES)


@pytest.mark.parametrize("tree", [{"jsonata": "body", "other": 1}, {"a": {"jsonata": "body"}}, [{"jsonata": "body"}]])
def test_only_a_mapping_with_this_one_key_is_the_language(tree):
    step = compile_transform(tree, "transform", Compiling(STEP_NAMES, lambda *_: ()))

    assert isinstance(step, Transform)
    assert step.prepare({}) == tree


# --- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("($f := function($x) { 1 + $f($x) }; $f(1))", "Check for non-terminating recursive function"),
        ("($f := function($x) { $f($x) }; $f(1))", "budget of 10000000 steps"),
        ("[1..10000000]", "size limit of 1000000 items"),
        ("[1..900000].('0123456789' & '')", "size limit of 8388608 bytes"),
        ("($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $f('xxxxxxxx', 40))", "8388608 bytes"),
        ("$pad('x', 1000000000)", "must not exceed"),
        ("body.customer.name * 2", "(line 1, column"),
        ("1 +\n  body.text", "must evaluate to a number (line 1, column 3)"),
        ("body.customer.id", "body.customer.id is 9007199254740993, and JSONata is exact up to 9007199254740992 only"),
        ("[10000000000000000000000.1, 1/0]", "Number out of range"),
        ("$error('no stock')", "no stock"),
    ],
)
async def test_what_goes_too_far_is_stopped_for_good(functions: Functions, source, message):
    outcome = await evaluated(functions, source)

    assert outcome.failure.kind == "expression"
    assert outcome.failure.permanent
    assert message in outcome.failure.message


async def test_what_takes_too_long_is_ended(functions: Functions):
    outcome = await evaluated(functions, "$count([1..3000].(  [1..3000] ))", timeout=0.01)

    assert outcome.failure.kind == "timeout"
    assert not outcome.failure.permanent


async def test_what_takes_too_much_memory_costs_only_its_process():
    functions = Functions(None, 1, Isolation(processes=1, memory=128 * 1024**2))
    try:
        greedy = await evaluated(functions, "[1..10000000]")
        modest = await evaluated(functions, "body.number")
    finally:
        functions.close()

    assert greedy.failure.kind in ("process_died", "out_of_memory")
    assert modest.output == 17


# --- properties ----------------------------------------------------------------------------------------------------

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60)
@given(value=JSON)
async def test_what_is_handed_on_stays_what_it_is(functions: Functions, value):
    outcome = await evaluated(functions, "{'it': vars.it}", {"vars": {"it": value}})

    assert outcome.output == {"it": value}


SOURCES = st.text(alphabet="body.lines[](){}$'\"+-*/&<>=?:;,~|@#%^0123 \n", max_size=40) | st.text(max_size=30)


@settings(max_examples=200)
@given(source=SOURCES)
def test_whatever_is_written_compiles_or_is_refused(source):
    with contextlib.suppress(Invalid):
        assert isinstance(compiled(source), Reshape)
