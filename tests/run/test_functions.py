"""The Python functions of workflows: found, called, timed, reloaded; nothing that they do ends the process."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock.run.functions import FunctionMissing, Functions
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import STEP_NAMES
from crossdock.run.steps.python import compile_python
from tests.run.walking import event, write
from tests.support.held import HeldClock
from tests.support.outside import outside_of
from tests.support.waiting import wait_until

OURS = "from crossdock.workflows import Retry, Stop\n"
AROUND = Compiling(STEP_NAMES, lambda *_: ())
BOTH = ("thread", "process")
Make = Callable[..., Functions]


async def call(
    functions: Functions,
    name: str,
    timeout: float = 20,
    isolation: str = "thread",
    module: str = "work",
    **arguments: Any,
) -> Any:
    """What a step that calls the function ends in."""
    written = {"function": f"{module}:{name}", "arguments": arguments, "isolation": isolation}
    step = compile_python(written, "python", AROUND)
    context = StepContext(event(), "call", 2, timeout, outside_of(functions), HeldClock())
    return await step.perform(step.prepare({}), context)


@pytest.mark.parametrize("isolation", BOTH)
async def test_a_function_returns_json(functions_of: Make, isolation):
    functions = functions_of("def add(a, b):\n    return {'sum': a + b, 'pair': (a, b)}")

    outcome = await call(functions, "add", a=1, b=2.5, isolation=isolation)

    assert outcome.output == {"sum": 3.5, "pair": [1, 2.5]}


async def test_an_async_function_runs_on_the_loop(functions_of: Make):
    functions = functions_of("import threading\nasync def where():\n    return threading.current_thread().name")

    assert (await call(functions, "where")).output == threading.current_thread().name


async def test_a_sync_function_runs_in_a_thread(functions_of: Make):
    functions = functions_of("import threading\ndef where():\n    return threading.current_thread().name")

    assert (await call(functions, "where")).output == "crossdock-function"


@pytest.mark.parametrize("isolation", BOTH)
async def test_a_function_may_ask_for_its_context(functions_of: Make, isolation):
    functions = functions_of("def tell(*, context):\n    return context")

    outcome = await call(functions, "tell", isolation=isolation)

    assert outcome.output == {"event_id": "evt_1", "idempotency_key": "evt_1:call", "attempt": 2, "step": "call"}


@pytest.mark.parametrize("isolation", BOTH)
async def test_a_function_gets_a_copy(functions_of: Make, isolation):
    functions = functions_of("def spoil(order):\n    order['lines'].append(1)\n    return order")
    order = {"lines": [0]}

    outcome = await call(functions, "spoil", order=order, isolation=isolation)

    assert outcome.output == {"lines": [0, 1]}
    assert order == {"lines": [0]}


@pytest.mark.parametrize("isolation", BOTH)
@pytest.mark.parametrize(
    ("source", "kind", "message", "permanent"),
    [
        ("def f():\n    raise ValueError('bad')", "python_error", "ValueError: bad (work.py:2)", False),
        ("async def f():\n    raise KeyError('x')", "python_error", "KeyError: 'x' (work.py:2)", False),
        ("import sys\ndef f():\n    sys.exit(3)", "python_error", "SystemExit: 3", False),
        ("import sys\nasync def f():\n    sys.exit(3)", "python_error", "SystemExit: 3", False),
        ("def f():\n    raise KeyboardInterrupt", "python_error", "KeyboardInterrupt", False),
        ("def f():\n    next(iter([]))", "python_error", "StopIteration", False),
        ("async def f():\n    import asyncio\n    raise asyncio.CancelledError", "python_error", "Cancelled", False),
        ("def f(x):\n    pass", "python_error", "missing 1 required positional argument: 'x'", False),
        (
            "from crossdock.workflows import Stop\ndef f():\n    raise Stop('no', kind='bad_order')",
            "bad_order",
            "no",
            True,
        ),
        (
            "from crossdock.workflows import Retry\ndef f():\n    raise Retry('later', 7)",
            "python_retry",
            "later",
            False,
        ),
        ("def f():\n    return {'a': [1, object()]}", "not_json", "result.a[1] is a object", True),
        ("import datetime\ndef f():\n    return datetime.date.today()", "not_json", "result is a date", True),
        ("def f():\n    return {1: 2}", "not_json", "has the key 1", True),
        ("def f():\n    return float('nan')", "not_json", "nan", True),
        ("def f():\n    return '\\ud800'", "not_json", "surrogate", True),
        ("def f():\n    a = []\n    a.append(a)\n    return a", "not_json", "contains itself", True),
        ("def f():\n    return 'x' * 9_000_000", "not_json", "larger than 8 MiB", True),
        ("def f():\n    return ['\\0' * 1_000] * 1_500", "not_json", "larger than 8 MiB", True),
        ("def f():\n    return [None] * 2_000_000", "not_json", "larger than 8 MiB", True),
        ("def f():\n    return {'n': 10 ** 5_000}", "not_json", "result.n is an integer of more than 4,300", True),
        (
            "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\ndef f():\n    raise Odd",
            "python_error",
            "Odd (work.py:5)",
            False,
        ),
        ("def f():\n    return f()", "python_error", "RecursionError: maximum recursion depth", False),
        ("def g():\n    pass", "function_missing", "work has no function 'f'; there are: g", True),
        ("from os import system as f", "function_missing", "no function 'f'", True),
        ("class f:\n    pass", "function_missing", "no function 'f'", True),
        ("f = 5", "function_missing", "no function 'f'", True),
        ("def f(:", "function_missing", "(work.py:1)", True),
    ],
)
async def test_what_goes_wrong_is_told(functions_of: Make, source, kind, message, permanent, isolation):
    outcome = await call(functions_of(source), "f", isolation=isolation)

    assert outcome.failure.kind == kind
    assert message in outcome.failure.message
    assert outcome.failure.permanent is permanent
    assert "Traceback" not in outcome.failure.message


@pytest.mark.parametrize("isolation", BOTH)
@pytest.mark.parametrize(
    ("asked", "kept"), [("7", 7), ("0.5", 0.5), ("None", None), ("-1", None), ("'soon'", None), ("1e400", None)]
)
async def test_a_request_to_try_later_is_kept(functions_of: Make, asked, kept, isolation):
    functions = functions_of(f"from crossdock.workflows import Retry\ndef f():\n    raise Retry('later', {asked})")

    assert (await call(functions, "f", isolation=isolation)).failure.retry_after == kept


async def test_printing_breaks_nothing(functions_of: Make, capsys: pytest.CaptureFixture[str]):
    functions = functions_of("def f():\n    print('x' * 100_000)\n    return 1")

    assert (await call(functions, "f")).output == 1
    assert len(capsys.readouterr().out) == 100_001


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(scope="module")
async def echo(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Functions]:
    folder = tmp_path_factory.mktemp("echo")
    write(folder, "echoing.py", "def echo(value):\n    return value")
    functions = Functions(folder, 2)
    yield functions
    functions.close()


@settings(max_examples=60)
@given(value=JSON)
async def test_a_value_is_the_same_after_a_thread_and_after_a_process(echo: Functions, value):
    thread = await call(echo, "echo", module="echoing", value=value)
    process = await call(echo, "echo", module="echoing", value=value, isolation="process")

    assert repr(thread.output) == repr(process.output) == repr(value)


# --- time ----------------------------------------------------------------------------------------------------------

HANG = """
import threading
gate = threading.Event()
def hang():
    gate.wait(30)
def quick():
    return 1
"""


def gate_of(functions: Functions) -> threading.Event:
    gate: threading.Event = functions.find("work:hang").callable.__globals__["gate"]
    return gate


async def test_a_function_that_hangs_fails_in_passing_and_others_go_on(functions_of: Make):
    functions = functions_of(HANG, threads=1)

    outcome = await call(functions, "hang", timeout=0.01)
    quick = await call(functions, "quick")
    gate_of(functions).set()

    assert outcome.failure.kind == "timeout"
    assert "within 0.01 s" in outcome.failure.message
    assert quick.output == 1


async def test_when_too_many_hang_calls_are_refused_until_one_returns(functions_of: Make):
    functions = functions_of(HANG, threads=1)
    for _ in range(2):
        await call(functions, "hang", timeout=0.01)

    refused = await call(functions, "quick")
    gate_of(functions).set()
    await asyncio.to_thread(wait_until, lambda: functions.hanging == 0)
    accepted = await call(functions, "quick")

    assert refused.failure.kind == "functions_busy"
    assert not refused.failure.permanent
    assert accepted.output == 1


async def test_an_async_function_that_swallows_its_cancellation_holds_nobody_up(functions_of: Make):
    source = """
import asyncio
async def stubborn():
    for _ in range(3):
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass
"""
    outcome = await call(functions_of(source), "stubborn", timeout=0.01)

    assert outcome.failure.kind == "timeout"


# --- the folder ----------------------------------------------------------------------------------------------------


def change(functions: Functions, source: str, name: str = "work.py") -> list[str]:
    assert functions.folder is not None
    write(functions.folder, name, source)
    return functions.refresh()


@pytest.mark.parametrize("isolation", BOTH)
async def test_a_changed_module_is_read_again(functions_of: Make, isolation):
    functions = functions_of("def f():\n    return 1")
    await call(functions, "f", isolation=isolation)

    problems = change(functions, "def f():\n    return 2  # changed")

    assert problems == []
    assert (await call(functions, "f", isolation=isolation)).output == 2


async def test_nothing_is_read_when_nothing_changed(functions_of: Make):
    functions = functions_of("loaded = object()\ndef f():\n    pass")
    before = functions.find("work:f")

    functions.refresh()

    assert functions.find("work:f") is before


@pytest.mark.parametrize("isolation", BOTH)
async def test_a_broken_module_stays_what_it_was_and_is_reported(functions_of: Make, isolation):
    functions = functions_of("def f():\n    return 1")

    problems = change(functions, "def f():\n    return 2\n\ndef g(:\n")

    assert problems == functions.problems
    assert "work: SyntaxError" in problems[0]
    assert "(work.py" in problems[0] or "line 4" in problems[0]
    assert (await call(functions, "f", isolation=isolation)).output == 1


async def test_what_is_wrong_at_the_start_is_told_once(functions_of: Make):
    functions = functions_of("def f(:")

    assert functions.refresh() == functions.problems != []
    assert functions.refresh() == []


async def test_a_mended_module_works_again(functions_of: Make):
    functions = functions_of("def f(:")

    change(functions, "def f():\n    return 1\n")

    assert functions.problems == []
    assert (await call(functions, "f")).output == 1


async def test_a_call_under_way_keeps_its_code(functions_of: Make):
    functions = functions_of("def f():\n    return VALUE\nVALUE = 1")
    found = functions.find("work:f")

    change(functions, "def f():\n    return VALUE\nVALUE = 22")

    assert found.callable() == 1


@pytest.mark.parametrize("isolation", BOTH)
@pytest.mark.parametrize("package", ["shared/rates.py", "shared/__init__.py"])
async def test_modules_may_import_one_another(functions_of: Make, package, isolation):
    functions = functions_of("def f():\n    return 0")
    change(functions, "", package)
    change(functions, "RATE = 3", "shared/rates.py")
    change(functions, "from shared.rates import RATE\ndef f():\n    return RATE")
    change(functions, "RATE = 40", "shared/rates.py")

    assert (await call(functions, "f", isolation=isolation)).output == 40


@pytest.mark.parametrize("source", ["raise RuntimeError('no')", "import sys; sys.exit(1)", "import nothing_like_it"])
async def test_a_module_that_fails_at_import_hurts_nobody_else(functions_of: Make, source):
    functions = functions_of("def f():\n    return 1")

    problems = change(functions, source, "other.py")

    assert problems[0].startswith("other: ")
    assert "(other.py:1)" in problems[0]
    assert (await call(functions, "f")).output == 1


async def test_a_module_can_not_stand_in_front_of_an_installed_one(functions_of: Make):
    functions = functions_of("def f():\n    return 1")
    before = sys.modules["json"]

    problems = change(functions, "def loads(text):\n    return 'evil'", "json.py")

    assert "has the name 'json' already" in problems[0]
    assert sys.modules["json"] is before
    with pytest.raises(FunctionMissing):
        functions.find("json:loads")


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "crossdock.cli:main", "builtins:eval", "work:print"])
async def test_what_is_merely_installed_can_not_be_called(functions_of: Make, name):
    assert functions_of("").problem(name) is not None


def test_without_a_folder_a_missing_function_says_how_to_add_one():
    assert "--workflows" in (Functions(None, 1).problem("work:f") or "")
