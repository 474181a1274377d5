"""What is told is what a scraper reads, in both formats."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from cachesvc.policy.histogram import Histogram
from cachesvc.web.exposition import Exposition
from cachesvc.web.families import (
    Family,
    HistogramFamily,
    HistogramSample,
    Kind,
    counter,
    gauge,
)

ODD = 'a"b\\c\nd'
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def _families() -> list[Family | HistogramFamily]:
    took = Histogram((0.5, 1))
    for amount in (0.5, 0.7, 3):
        took.add(amount)
    return [
        counter("cachesvc_things", "Things.", 3),
        gauge("cachesvc_level", "The level.", 0.25),
        Family("cachesvc_by_name", Kind.GAUGE, 'With "odd" \\ names.', ("name",), [((ODD,), 7)]),
        Family("cachesvc_nothing", Kind.COUNTER, "Nothing yet.", ("name",)),
        HistogramFamily(
            "cachesvc_took_seconds", "Took.", ("x",), [(("y",), HistogramSample.of(took))]
        ),
    ]


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS])
def test_a_scraper_reads_what_was_told(accept: str) -> None:
    text, media_type = Exposition().text(_families(), accept)
    parse: Any = openmetrics.text_string_to_metric_families
    if not accept.startswith("application"):
        parse = text_string_to_metric_families
    assert ("openmetrics" in media_type) == accept.startswith("application")
    found: dict[str, Metric] = {each.name: each for each in parse(text.decode())}
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in found.values()
        for sample in metric.samples
    }
    assert samples["cachesvc_things_total",] == 3
    assert samples["cachesvc_level",] == 0.25
    assert samples["cachesvc_by_name", ODD] == 7
    assert samples["cachesvc_took_seconds_sum", "y"] == 4.2
    buckets = {
        sample.labels["le"]: sample.value
        for sample in found["cachesvc_took_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert buckets == {"0.5": 1, "1.0": 2, "+Inf": 3}
    assert "process_cpu_seconds" in found
