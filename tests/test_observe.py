"""What the program says about itself: metrics as Prometheus reads them, and log lines without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crossdock import observe
from crossdock.observe import Observe, conceal, configure_logging, emit
from tests.support.exposition import sample


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Logging as at a start, into a text; as it was before afterwards."""
    root, own = logging.getLogger(), logging.getLogger("crossdock")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    logging.captureWarnings(False)


def test_calls_are_counted_by_integration() -> None:
    counts = Observe()

    counts.accepted("int_1")
    counts.accepted("int_1")
    counts.rejected("", "unknown_path")

    assert sample(counts, "crossdock_events_accepted_total", integration="int_1") == 2
    assert sample(counts, "crossdock_events_rejected_total", integration="", reason="unknown_path") == 1


def test_histograms_count_up_to_each_bound() -> None:
    counts = Observe()

    for seconds in (0.001, 0.3, 7200.0):
        counts.run_finished("int_1", "succeeded", seconds)

    name = "crossdock_run_latency_seconds"
    assert sample(counts, f"{name}_bucket", le="0.001") == 1
    assert sample(counts, f"{name}_bucket", le="0.5") == 2
    assert sample(counts, f"{name}_bucket", le="+Inf") == 3
    assert sample(counts, f"{name}_sum") == pytest.approx(7200.301)


def test_a_gauge_forgets_queues_that_are_gone() -> None:
    counts = Observe()

    counts.set_backlog({"int_1": 5, "int_2": 1}, {"int_1": 2.5})
    counts.set_backlog({"int_2": 3}, {})

    assert sample(counts, "crossdock_runs_unfinished", integration="int_1") is None
    assert sample(counts, "crossdock_runs_unfinished", integration="int_2") == 3


def count_everything(counts: Observe) -> None:
    """Call every method that counts, so that each metric has a sample."""
    counts.accepted("int_1")
    counts.duplicate("int_1")
    counts.rejected("int_1", "unknown_path")
    counts.connection_refused("slow_head")
    counts.run_finished("int_1", "failed", 1.0)
    counts.run_retried("int_1")
    counts.step_performed("http", "done", 0.25)
    counts.lease_lost("run")
    counts.delivery_attempt("reply")
    counts.delivery_finished("reply", "failed", 1.0)
    counts.set_backlog({"int_1": 1}, {"int_1": 1.0})
    counts.set_blocked_lanes({"int_1": 1})
    counts.set_health({"int_1": "warning"}, {"int_1": 2})
    counts.health_changed("int_1", "warning")
    counts.set_workers({("functions", "busy"): 1}, {"functions": 2})
    counts.spans_dropped("queue_full", 1)
    counts.set_nodes({("run", "working"): 1}, 0.5)
    counts.set_work({"run": 1}, 1, 1)
    counts.set_lease(8.0)
    counts.set_deepest_lanes({("int_1", "k"): (3, 60.0)})
    counts.set_deliveries({"int_1": 1}, {"int_1": 2.0})
    counts.set_webhook_failures({"nwh_1": 3})
    counts.set_bulk_jobs({"running": 1})
    counts.signals.set_hearing(True)
    counts.database.contended("deadlock")
    counts.duty_taken("retention")


def test_everything_shown_is_in_the_registry_and_the_other_way_round() -> None:
    counts = Observe()

    count_everything(counts)

    shown = {
        family.name: family.samples[0].labels.keys() - {"le"}
        for family in text_string_to_metric_families(counts.text().decode())
        if family.samples and family.name.startswith("crossdock_")
    }
    assert shown == {spec.name: set(spec.labels) for spec in observe.METRICS}


def test_gauges_that_are_known_at_any_time_are_asked_for_when_shown() -> None:
    counts, held = Observe(), {"run": 1}
    counts.when_asked(lambda: counts.set_work(held, 0, 0))

    held["run"] = 2

    assert sample(counts, "crossdock_leases_held", kind="run") == 2


def test_what_threads_tell_of_the_database_adds_up() -> None:
    counts = Observe()

    def ask() -> None:
        for _ in range(2_000):
            counts.database.sent()
            counts.database.answered("read", 0.001)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(ask)

    assert sample(counts, "crossdock_database_statements_total") == 8_000
    assert sample(counts, "crossdock_database_seconds_count", kind="read") == 8_000


def test_a_clock_that_is_set_back_takes_nothing_from_how_long_runs_waited() -> None:
    counts = Observe()

    for seconds in (2.0, -3_600.0):
        counts.run_begun(seconds)
        counts.delivery_begun(seconds)

    for name in ("crossdock_run_queue_seconds", "crossdock_delivery_queue_seconds"):
        assert (sample(counts, f"{name}_sum"), sample(counts, f"{name}_count")) == (2.0, 2.0)


def test_shared_commits_are_not_counted_twice() -> None:
    counts = Observe()

    counts.database.answered("commit", 0.1)
    counts.database.answered("change", 0.1)

    assert sample(counts, "crossdock_database_seconds_count", kind="change") == 1
    assert sample(counts, "crossdock_database_seconds_count", kind="read") == 0


def test_names_are_given_once() -> None:
    for names in ([spec.name for spec in observe.METRICS], [event.name for event in observe.LOG_EVENTS]):
        assert len(names) == len(set(names))
    assert all(spec.name.startswith("crossdock_") and spec.help.endswith(".") for spec in observe.METRICS)


def test_a_line_is_json_with_its_facts(log: io.StringIO) -> None:
    configure_logging("info", "json", log)

    emit(observe.SERVER_STARTED, event="evt_1", address="http://127.0.0.1:8420")

    line = json.loads(log.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "message": "server.started",
        "level": "info",
        "event": "evt_1",
        "address": "http://127.0.0.1:8420",
    }


def test_auto_is_json_where_no_terminal_is(log: io.StringIO) -> None:
    configure_logging("info", "auto", log)

    emit(observe.SERVER_STARTED)

    assert json.loads(log.getvalue())["message"] == "server.started"


def test_a_human_line_reads_as_words(log: io.StringIO) -> None:
    configure_logging("info", "human", log)

    emit(observe.SERVER_STARTED, address="http://127.0.0.1:8420")

    assert "server.started" in log.getvalue()
    assert "address=http://127.0.0.1:8420" in log.getvalue()


def test_single_events_are_silent_at_info(log: io.StringIO) -> None:
    configure_logging("info", "json", log)

    emit(observe.EVENT_ACCEPTED, event="evt_1")

    assert log.getvalue() == ""
    assert not observe.is_debugging()


def test_libraries_speak_only_when_something_is_wrong(log: io.StringIO) -> None:
    configure_logging("info", "json", log)

    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("uvicorn.error").warning("odd %s", "thing")

    assert json.loads(log.getvalue())["message"] == "odd thing"


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "platform_token",
        "Authorization",
        "x-api-key",
        "api_key",
        "password",
        "client_secret",
        "set-cookie",
    ],
)
def test_facts_with_telling_names_are_hidden(log: io.StringIO, name: str) -> None:
    configure_logging("info", "json", log)

    emit(observe.SERVER_STARTED, headers={name: "hunter2"}, rows=[{name: "hunter2"}])

    assert "hunter2" not in log.getvalue()
    assert "[redacted]" in log.getvalue()


def test_names_that_only_look_telling_stay(log: io.StringIO) -> None:
    configure_logging("info", "json", log)

    emit(observe.SERVER_STARTED, key_id="key_1", tokens=3, ordering_key_label="customer")

    assert json.loads(log.getvalue()).items() >= {("key_id", "key_1"), ("tokens", 3)}


@pytest.mark.parametrize("style", ["json", "human"])
def test_a_concealed_value_appears_nowhere(log: io.StringIO, style: str) -> None:
    configure_logging("info", style, log)
    conceal('s3cr"et')
    try:
        raise ValueError('the password s3cr"et is wrong')
    except ValueError as error:
        emit(observe.RUN_CRASHED, error=error, where='at s3cr"et')
        logging.getLogger("library").warning('said s3cr"et')

    assert "s3cr" not in log.getvalue()
    assert "ValueError" in log.getvalue()


def test_logging_goes_to_standard_error_by_default(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    emit(observe.SERVER_STOPPED)

    assert "server.stopped" in capsys.readouterr().err
    assert sys.stdout is not sys.stderr
