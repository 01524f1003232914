"""What the settings and variables of traces ask for; what is wrong stops the start in words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crossdock.clock import system_now
from crossdock.model.errors import Misconfigured
from crossdock.observe import Observe
from crossdock.tracing import open_tracer
from crossdock.tracing.otlp import open_sink
from tests.support.program import Program
from tests.support.waiting import LIMIT_SECONDS

AS_WITHOUT_EXTRA = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None
from crossdock.__main__ import main
main()
"""
WITHOUT_EXTRA = (sys.executable, "-c", AS_WITHOUT_EXTRA)


def test_nothing_is_opened_unless_it_is_asked_for():
    assert open_tracer("none", "node_1", Observe(), clock=system_now) is None


def test_without_the_extra_the_start_says_how_to_install_it(tmp_path: Path):
    program = Program(tmp_path, settings={"traces": "otlp"}, launcher=WITHOUT_EXTRA)

    code = program.launch().wait(LIMIT_SECONDS)

    assert code == 1
    assert "pip install 'crossdock[otel]'" in program.log


@pytest.mark.timeout(120)
def test_without_traces_the_extra_is_not_needed(tmp_path: Path):
    program = Program(tmp_path, launcher=WITHOUT_EXTRA)

    program.start()

    assert program.stop() == 0


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("OTEL_TRACES_SAMPLER", "sometimes", "one of always_on"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://[", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "seconds"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "above 0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "milliseconds"),
        ("OTEL_BSP_SCHEDULE_DELAY", "nan", "milliseconds"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, advice: str):
    with pytest.raises(Misconfigured, match=name) as refusal:
        open_sink("node_1", Observe(), {name: value})

    assert advice in str(refusal.value)


@pytest.mark.parametrize("share", ["1.5", "-0.1", "half", "nan"])
def test_a_share_of_traces_lies_between_none_and_all(share: str):
    with pytest.raises(Misconfigured, match=r"from 0\.0 to 1\.0"):
        open_sink("node_1", Observe(), {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": share})


def test_an_address_that_is_wrong_is_not_repeated():
    with pytest.raises(Misconfigured) as refusal:
        open_sink("node_1", Observe(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://user:password@host"})

    assert "password" not in str(refusal.value)


def test_the_standards_own_switch_is_honoured():
    assert open_sink("node_1", Observe(), {"OTEL_SDK_DISABLED": "True"}) is None
