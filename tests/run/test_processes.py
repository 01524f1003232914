"""Functions with a process of their own: what they do to themselves, they do to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crossdock.run.functions import Functions, Isolation
from crossdock.run.modules import Source
from crossdock.run.processes.environment import reduced
from crossdock.run.processes.pool import AllBusy, Counts, Processes
from crossdock.run.processes.worker import Plan
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import STEP_NAMES
from crossdock.run.steps.python import compile_python
from tests.run.walking import event, write
from tests.support.held import HeldClock
from tests.support.outside import outside_of
from tests.support.waiting import wait_until
from tests.support.yard import Yard

AROUND = Compiling(STEP_NAMES, lambda *_: ())
Make = Callable[..., Functions]


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Make]:
    """Makes `Functions` of a folder with one module, `work`; nothing of their processes may be left in the end."""
    before = children()
    made: list[Functions] = []

    def make(source: str, **limits: Any) -> Functions:
        folder = tmp_path / "workflows"
        folder.mkdir(exist_ok=True)
        write(folder, "work.py", source)
        made.append(Functions(folder, 2, Isolation(**limits)))
        return made[-1]

    yield make
    for functions in made:
        functions.close()
    assert children() <= before


def children() -> set[int]:
    """Processes that this one has begun, zombies too."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            found.update(map(int, (thread / "children").read_text(encoding="ascii").split()))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process is there, and more than a zombie that its new parent has not looked at yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def call(functions: Functions, name: str, timeout: float = 20, **arguments: Any) -> Any:
    """What an isolated step that calls the function ends in."""
    settings = {"function": f"work:{name}", "arguments": arguments, "isolation": "process"}
    step = compile_python(settings, "python", AROUND)
    context = StepContext(event(), "call", 2, timeout, outside_of(functions), HeldClock())
    return await step.perform(step.prepare({}), context)


async def test_a_function_runs_in_a_process_of_its_own(isolated: Make):
    functions = isolated("import os\ndef pid():\n    return os.getpid()")

    first, second = await call(functions, "pid"), await call(functions, "pid")

    assert first.output == second.output != os.getpid()


async def test_async_functions_share_an_event_loop_between_calls(isolated: Make):
    functions = isolated("import asyncio\nasync def loop():\n    return id(asyncio.get_running_loop())")

    assert (await call(functions, "loop")).output == (await call(functions, "loop")).output


async def test_no_process_is_there_before_a_call_needs_one(isolated: Make):
    before = children()

    functions = isolated("def f():\n    return 1")

    assert functions.find("work:f").callable() == 1
    assert children() == before


async def test_a_function_that_hangs_is_killed_and_its_place_is_told(isolated: Make):
    functions = isolated("import os, time\ndef hang():\n    time.sleep(60)\ndef pid():\n    return os.getpid()")
    before = (await call(functions, "pid")).output

    outcome = await call(functions, "hang", timeout=0.8)
    after = (await call(functions, "pid")).output

    assert outcome.failure.kind == "timeout"
    assert outcome.failure.message == "work:hang did not return within 0.8 s (work.py:3)"
    assert not outcome.failure.permanent
    assert after != before
    await asyncio.to_thread(wait_until, lambda: not is_alive(before))


async def test_a_loop_in_c_that_never_lets_go_of_python_is_killed(isolated: Make):
    functions = isolated("def spin():\n    return (10 ** 9_000_000) ** 2 % 7")

    outcome = await call(functions, "spin", timeout=0.2)

    assert outcome.failure.kind == "timeout"


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        (
            "import ctypes\ndef f():\n    ctypes.string_at(0)",
            "process_died",
            "it was ended by SIGSEGV (segmentation fault) (work.py:3)",
        ),
        ("import os\ndef f():\n    os._exit(3)", "process_died", "it ended itself with exit code 3"),
        ("import os\ndef f():\n    os.abort()", "process_died", "it was ended by SIGABRT (aborted) (work.py:3)"),
        ("import os\ndef f():\n    os.kill(os.getpid(), 9)", "process_died", "SIGKILL (killed); the system does so"),
        ("def f():\n    return len('x' * 2**31)", "out_of_memory", "needed more than the 256 MiB"),
        (
            "def f():\n    kept = []\n    while True:\n        kept.append('x' * 1000 + str(len(kept)))",
            "out_of_memory",
            "(work.py:4)",
        ),
    ],
)
async def test_what_kills_its_process_is_told_and_may_be_tried_again(isolated: Make, source, kind, message):
    functions = isolated(f"{source}\ndef quick():\n    return 1", memory=256 * 1024**2)

    outcome = await call(functions, "f")
    quick = await call(functions, "quick")

    assert outcome.failure.kind == kind
    assert message in outcome.failure.message
    assert not outcome.failure.permanent
    assert quick.output == 1


async def test_a_death_leaves_the_call_beside_it_alone(isolated: Make):
    functions = isolated("import os, time\ndef die():\n    os._exit(1)\ndef slow():\n    time.sleep(0.3)\n    return 1")

    slow, died = await asyncio.gather(call(functions, "slow"), call(functions, "die"))

    assert slow.output == 1
    assert died.failure.kind == "process_died"


async def test_a_process_that_dies_between_calls_fails_nobody(isolated: Make):
    functions = isolated("import os\ndef pid():\n    return os.getpid()")
    first = (await call(functions, "pid")).output

    os.kill(first, 9)
    await asyncio.to_thread(wait_until, lambda: not is_alive(first))

    assert (await call(functions, "pid")).output != first


# --- memory, CPU, output -------------------------------------------------------------------------------------------


def test_cpu_time_is_limited_in_the_process_itself():
    source = "from crossdock.run.processes.inside import limit_cpu\nlimit_cpu(0)\nwhile True: pass"

    assert subprocess.run([sys.executable, "-c", source], check=False, timeout=50).returncode == -signal.SIGXCPU


async def test_too_much_cpu_time_counts_as_running_out_of_time(isolated: Make):
    functions = isolated("import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGXCPU)")

    outcome = await call(functions, "f", timeout=30)

    assert outcome.failure.kind == "timeout"
    assert "work:f used more than 30 s of CPU time" in outcome.failure.message
    assert "(work.py:3)" in outcome.failure.message


async def test_a_process_that_has_grown_too_much_is_replaced(isolated: Make):
    source = "import os\nkept = []\ndef leak():\n    kept.append(bytearray(160 * 1024**2))\n    return os.getpid()"
    functions = isolated(source, memory=256 * 1024**2)

    pids = {(await call(functions, "leak")).output for _ in range(3)}

    assert len(pids) == 3


async def test_a_process_that_answers_without_end_is_cut(isolated: Make):
    source = """
import os, socket, stat
def flood():
    for number in range(3, 30):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                while True:
                    os.write(number, b"\\x03\\x00" + b"\\xff" * 65536)
        except OSError:
            pass
"""
    outcome = await call(isolated(source), "flood")

    assert outcome.failure.kind == "process_died"
    assert "answered what it was not asked" in outcome.failure.message


async def test_a_child_that_a_function_forks_can_not_answer_for_it(isolated: Make):
    source = """
import os
def twice():
    if os.fork() == 0:
        return "child"
    os.wait()
    return "parent"
"""
    functions = isolated(source)

    assert (await call(functions, "twice")).output == "parent"
    assert (await call(functions, "twice")).output == "parent"


async def test_what_a_function_prints_is_logged_up_to_a_limit(isolated: Make, caplog: pytest.LogCaptureFixture):
    functions = isolated("import os\ndef f():\n    print('x' * 1_000_000)\n    os.system('echo by a child')")

    with caplog.at_level("INFO", "crossdock"):
        await call(functions, "f")

    (record,) = [record for record in caplog.records if record.getMessage() == "function.printed"]
    facts = vars(record)["facts"]
    assert facts["function"] == "work:f"
    assert facts["printed"].endswith("xx\nby a child\n")
    assert len(facts["printed"]) == 8 * 1024


# --- what a process knows ------------------------------------------------------------------------------------------


async def test_a_process_inherits_no_secret(isolated: Make, monkeypatch: pytest.MonkeyPatch):
    for name in ("CROSSDOCK_MASTER_KEY", "ERP_TOKEN", "HTTPS_PROXY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("TZ", "Europe/Vienna")
    functions = isolated("import os\ndef f():\n    return dict(os.environ)", environment=["ERP_TOKEN"])

    environment = (await call(functions, "f")).output

    assert [name for name, value in environment.items() if value == "hunter2"] == ["ERP_TOKEN"]
    assert environment["TZ"] == "Europe/Vienna"
    assert "PYTHONPATH" not in environment


async def test_a_process_inherits_no_file(isolated: Make, tmp_path: Path):
    source = """
import os
def f():
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.lexists(link)]
"""
    functions = isolated(source)
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        inherited = (await call(functions, "f")).output

    assert len(inherited) == 6
    assert all(target.startswith(("pipe:", "socket:", "/dev/null")) for target in inherited)


async def test_a_module_that_can_not_be_imported_there_is_told(isolated: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ERP_TOKEN", "hunter2")
    functions = isolated("import os\ntoken = os.environ['ERP_TOKEN']\ndef f():\n    return 1")

    outcome = await call(functions, "f")

    assert outcome.failure.kind == "function_missing"
    assert "in its own process: KeyError: 'ERP_TOKEN' (work.py:2)" in outcome.failure.message


async def test_a_canceled_run_ends_its_process(yard: Yard):
    write(
        yard.folder,
        "slow.py",
        "import os, time\ndef nap(file):\n    open(file, 'w').write(str(os.getpid()))\n    time.sleep(60)",
    )
    yard.functions.refresh()
    file = yard.folder / "pid"
    step = {"function": "slow:nap", "arguments": {"file": str(file)}, "isolation": "process"}
    await yard.add(steps=[{"id": "nap", "python": step}])
    event_id = await yard.accepted()
    pid = await asyncio.to_thread(written, file)

    assert yard.stage.cancel(event_id)

    await yard.until(event_id, "canceled")
    await asyncio.to_thread(wait_until, lambda: not is_alive(pid))


# --- the pool ------------------------------------------------------------------------------------------------------


async def test_calls_wait_for_a_process_and_the_wait_is_nobodys_timeout(isolated: Make):
    functions = isolated("import time\ndef f():\n    time.sleep(0.5)\n    return 1", processes=1)

    outcomes = await asyncio.gather(*(call(functions, "f", timeout=1.2) for _ in range(3)))

    assert [outcome.output for outcome in outcomes] == [1, 1, 1]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    """Makes pools that find the module `work` of `WORK`."""
    before = children()
    made: list[Processes] = []

    def make(**limits: Any) -> Processes:
        source = Source(WORK, str(tmp_path / "work.py"), is_package=False)
        plan = Plan(256 * 1024**2, reduced(os.environ), str(tmp_path), {"work": source})
        made.append(Processes(1, plan, **limits))
        return made[-1]

    yield make
    for processes in made:
        processes.close()
    assert children() <= before


WORK = """
import os, subprocess, time
def nap(file):
    open(file, "w").write(str(os.getpid()))
    time.sleep(60)
def parent(file):
    child = subprocess.Popen(["sleep", "60"])
    open(file, "w").write(str(child.pid))
    time.sleep(60)
def pid():
    return os.getpid()
"""


def written(path: Path) -> int:
    """The number that a function has written there, as soon as it has."""
    wait_until(lambda: path.exists() and path.read_text(encoding="ascii") != "")
    return int(path.read_text(encoding="ascii"))


async def test_a_call_that_finds_no_free_process_for_long_is_refused(pool: Callable[..., Processes], tmp_path: Path):
    processes = pool(wait_seconds=0.05)
    first = asyncio.create_task(processes.call("work:nap", {"file": str(tmp_path / "pid")}, 30))
    await asyncio.to_thread(written, tmp_path / "pid")

    with pytest.raises(AllBusy, match="none of the 1 worker processes became free within 0.05 s"):
        await processes.call("work:pid", {}, 30)

    assert processes.counts == Counts(busy=1)
    first.cancel()


async def test_a_call_that_is_broken_off_leaves_no_process_behind(pool: Callable[..., Processes], tmp_path: Path):
    processes = pool()
    call = asyncio.create_task(processes.call("work:nap", {"file": str(tmp_path / "pid")}, 30))
    pid = await asyncio.to_thread(written, tmp_path / "pid")

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    await asyncio.to_thread(wait_until, lambda: pid not in children())


async def test_calls_broken_off_at_any_moment_leave_nothing_behind(pool: Callable[..., Processes]):
    processes, before = pool(), children()
    chance = random.Random(7)

    for _ in range(15):
        call = asyncio.create_task(processes.call("work:pid", {}, 30))
        await asyncio.wait((call,), timeout=chance.random() * 0.2)
        call.cancel()
    pid = await processes.call("work:pid", {}, 30)

    await asyncio.to_thread(wait_until, lambda: children() - before == {pid})
    assert processes.counts == Counts(idle=1)


async def test_without_file_descriptors_a_call_is_refused_and_none_is_lost(pool: Callable[..., Processes]):
    processes = pool()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, hard))
    try:
        with pytest.raises(AllBusy, match="Too many open files"):
            await processes.call("work:pid", {}, 30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert len(os.listdir("/proc/self/fd")) == before
    assert await processes.call("work:pid", {}, 30) != os.getpid()


async def test_a_process_that_nobody_needs_ends(pool: Callable[..., Processes]):
    processes = pool(idle_seconds=0.05)

    pid = await processes.call("work:pid", {}, 30)

    await asyncio.to_thread(wait_until, lambda: not is_alive(pid))
    assert processes.counts == Counts()


async def test_at_the_end_a_call_and_what_it_started_end_at_once(pool: Callable[..., Processes], tmp_path: Path):
    processes, before = pool(), children()
    call = asyncio.create_task(processes.call("work:parent", {"file": str(tmp_path / "pid")}, 30))
    grandchild = await asyncio.to_thread(written, tmp_path / "pid")

    processes.close()

    assert children() == before
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(wait_until, lambda: not is_alive(grandchild))


SERVER = """
import asyncio, os, sys
from crossdock.run.modules import Source
from crossdock.run.processes.environment import reduced
from crossdock.run.processes.pool import Processes
from crossdock.run.processes.worker import Plan
source = Source(sys.argv[1], sys.argv[2] + "/work.py", is_package=False)
plan = Plan(256 * 1024**2, reduced(os.environ), sys.argv[2], {"work": source})
asyncio.run(Processes(1, plan).call("work:f", {"file": sys.argv[2] + "/pids"}, 60))
"""


@pytest.mark.parametrize("stuck", ["time.sleep(60)", "(10 ** 30_000_000) ** 2"])
def test_when_the_server_is_killed_its_processes_end_with_what_they_started(tmp_path: Path, stuck: str):
    source = f"""
import os, subprocess, time
def f(file):
    child = subprocess.Popen(["sleep", "60"])
    with open(file + ".new", "w") as new:
        new.write(f"{{os.getpid()}} {{child.pid}}")
    os.rename(file + ".new", file)
    {stuck}
"""
    server = subprocess.Popen([sys.executable, "-c", SERVER, source, str(tmp_path)])
    wait_until((tmp_path / "pids").exists)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text(encoding="ascii").split()]
    assert all(map(is_alive, pids))

    server.kill()
    server.wait()

    wait_until(lambda: not any(map(is_alive, pids)))
