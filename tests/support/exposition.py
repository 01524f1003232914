"""The metrics of a node, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from crossdock.observe import Observe

Sample = tuple[dict[str, str], float]


def samples_in(text: str, name: str) -> list[Sample]:
    """Labels and value of each sample of a metric."""
    families = text_string_to_metric_families(text)
    return [(found.labels, found.value) for family in families for found in family.samples if found.name == name]


def samples(observe: Observe, name: str) -> list[Sample]:
    return samples_in(observe.text().decode(), name)


def sample(observe: Observe, name: str, **labels: str) -> float | None:
    """One value; None when there is no sample with exactly these labels."""
    return next((value for found, value in samples(observe, name) if found == labels), None)
