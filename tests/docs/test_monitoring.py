"""The dashboard and the alert rules ask for metrics and labels that exist, and the guide says what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from crossdock import observe
from tests.support.promql import Malformed, Selector, selectors

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "crossdock-dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule for group in YAML(typ="safe").load(FOLDER / "crossdock-alerts.yaml")["groups"] for rule in group["rules"]
]
GUIDE = (ROOT / "docs" / "guides" / "monitoring.md").read_text(encoding="utf-8")
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [*QUERIES, *((rule["alert"], rule["expr"]) for rule in RULES)]

GIVEN_BY_PROMETHEUS = {"instance", "job"}
OTHERS = {"up": "gauge", "process_cpu_seconds_total": "counter", "process_resident_memory_bytes": "gauge"}


def kind_and_labels(name: str) -> tuple[str, set[str]]:
    """Of a metric as it is scraped; KeyError when there is none of this name."""
    if name in OTHERS:
        return OTHERS[name], set()
    for spec in observe.METRICS:
        labels = set(spec.labels)
        if spec.kind == "histogram" and name in (f"{spec.name}_{part}" for part in ("bucket", "sum", "count")):
            return "counter", labels | ({"le"} if name.endswith("_bucket") else set())
        if name == (f"{spec.name}_total" if spec.kind == "counter" else spec.name) and spec.kind != "histogram":
            return spec.kind, labels
    raise KeyError(name)


def check(selector: Selector) -> None:
    kind, labels = kind_and_labels(selector.name)
    assert (selector.function is not None) == (kind == "counter"), f"{selector.name} is a {kind}"
    assert selector.matched | selector.grouped_by <= labels | GIVEN_BY_PROMETHEUS, selector


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_asks_for_what_there_is(title: str, expression: str) -> None:
    for selector in selectors(expression):
        check(selector)


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(crossdock_events_accepted_total[5m])",
        "rate(crossdock_events_accepted_total)",
        "crossdock_lanes_busy[5m]",
        "sum by (le rate(crossdock_commit_seconds_bucket[5m]))",
        'crossdock_nodes{role="run}',
        "histogram_quantile(sum(crossdock_lanes_busy))",
        "crossdock_lanes_busy >",
        "1 + 2",
    ],
)
def test_the_guard_refuses_what_is_no_promql(expression: str) -> None:
    with pytest.raises(Malformed):
        selectors(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "crossdock_events_accepted_total",  # a counter as it stands says nothing
        "rate(crossdock_lanes_busy[5m])",
        "sum by (customer) (crossdock_lanes_busy)",
        'crossdock_nodes{state="silent", color="red"}',
    ],
)
def test_the_guard_refuses_what_asks_for_the_wrong_thing(expression: str) -> None:
    (selector,) = selectors(expression)

    with pytest.raises(AssertionError):
        check(selector)


def test_the_guard_refuses_a_metric_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        check(selectors("crossdock_moods")[0])


def test_prometheus_itself_reads_every_expression(tmp_path: Path) -> None:
    """Where `promtool` is installed. Without it the guard above has to do, which knows less than Prometheus does."""
    rules = [
        {"record": f"crossdock:check{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    promtool = shutil.which("promtool")

    if promtool is not None:
        for checked in (file, FOLDER / "crossdock-alerts.yaml"):
            ended = subprocess.run([promtool, "check", "rules", str(checked)], capture_output=True, check=False)
            assert ended.returncode == 0, ended.stderr.decode()
    assert len(rules) > 60


# --- what Grafana needs ----------------------------------------------------------------------------------------------


def test_grafana_finds_what_it_needs_in_the_dashboard() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD["title"]
    assert "id" not in DASHBOARD  # Grafana gives its own
    assert "__inputs" not in DASHBOARD
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_data_source_is_chosen_by_whoever_looks() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    used = [panel["datasource"] for panel in PANELS] + [t["datasource"] for panel in PANELS for t in panel["targets"]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in used)


def test_variables_that_are_used_are_there_and_ask_for_what_there_is() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    used = {name for _, query in QUERIES for name in re.findall(r"\$(\w+)", query)} - {"__rate_interval"}

    assert used | {"datasource"} == set(variables)
    for name, variable in variables.items():
        if name != "datasource":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert match is not None
            (selector,) = selectors(match[1])
            assert match[2] in kind_and_labels(selector.name)[1] | GIVEN_BY_PROMETHEUS


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_a_panel_says_what_it_shows() -> None:
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)


def test_every_metric_that_can_move_is_on_the_dashboard_or_in_the_rules() -> None:
    """A metric that nobody looks at is found here: it is shown, or its reason for not being so stands here."""
    asked = {selector.name for _, expression in EXPRESSIONS for selector in selectors(expression)}
    not_shown = {
        "crossdock_info": "the version",
        "crossdock_events_duplicate": "no trouble",
        "crossdock_connections_refused": "no trouble of ours",
        "crossdock_step_seconds": "for questions about steps",
        "crossdock_delivery_attempts": "for questions about targets",
        "crossdock_spans_exported": "for those who trace",
        "crossdock_spans_dropped": "for those who trace",
    }

    for spec in observe.METRICS:
        shown = any(name.startswith(spec.name) for name in asked)
        assert shown != (spec.name in not_shown), spec.name


# --- alerts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_how_bad_it_is(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Crossdock")
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")


def test_labels_that_an_alert_speaks_of_are_left_by_its_expression() -> None:
    for rule in RULES:
        spoken = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        for selector in selectors(rule["expr"]):
            is_grouped = re.search(r"\b(sum|max|min|avg)\b", rule["expr"])
            left = selector.grouped_by if is_grouped else GIVEN_BY_PROMETHEUS
            assert spoken <= left, rule["alert"]


def test_an_alert_of_deliveries_says_whether_it_is_of_replies_or_of_notifications() -> None:
    told_by = {"crossdock_deliveries_finished_total": "kind", "crossdock_deliveries_overdue_seconds": "integration"}
    asked = [selector for rule in RULES for selector in selectors(rule["expr"]) if selector.name in told_by]

    assert len(asked) == 5
    assert all(told_by[selector.name] in selector.matched for selector in asked)


def test_the_guide_says_how_to_add_up_each_gauge() -> None:
    section = GUIDE.partition("### Adding up over nodes")[2].partition("\n#")[0]
    told = [name.removesuffix("...") for name in re.findall(r"`(crossdock_\w+(?:\.\.\.)?)`", section)]
    gauges = {spec.name for spec in observe.METRICS if spec.kind == "gauge"} - {"crossdock_info"}

    assert {gauge for gauge in gauges if not gauge.startswith(tuple(told))} == set()


def test_the_guide_says_what_to_do_for_each_alert() -> None:
    told = set(re.findall(r"^\| `(Crossdock\w+)` \|", GUIDE, re.MULTILINE))

    assert told == {rule["alert"] for rule in RULES}


def test_the_guide_says_what_each_row_of_the_dashboard_answers() -> None:
    rows = [panel["title"].partition(" (")[0] for panel in DASHBOARD["panels"] if panel["type"] == "row"]

    assert all(f"**{title}**" in GUIDE for title in rows)
