"""Families as text, in whichever of Prometheus's formats a scraper asks for."""

from collections.abc import Iterable, Iterator

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from cachesvc.web.families import Family, HistogramFamily, Kind

_FAMILIES = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Exposition:
    """Makes text; what the process itself takes is added. Blocking, for any thread."""

    def __init__(self) -> None:
        self._process = CollectorRegistry()
        for kind in (ProcessCollector, PlatformCollector, GCCollector):
            kind(registry=self._process)

    def text(self, families: Iterable[Family | HistogramFamily], accept: str) -> tuple[bytes, str]:
        """The text and its media type; ``accept`` is the header of that name."""
        encode, media_type = choose_encoder(accept)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given(map(_metric, families)))
        registry.register(_Given(self._process.collect()))
        return encode(registry), media_type


class _Given(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _metric(family: Family | HistogramFamily) -> Metric:
    if isinstance(family, HistogramFamily):
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, sample in family.rows:
            bounds = [*map(str, map(float, sample.bounds)), "+Inf"]
            buckets = list(zip(bounds, sample.cumulative, strict=True))
            histogram.add_metric(labels, buckets, sample.total)
        return histogram
    kind: type[CounterMetricFamily | GaugeMetricFamily] = _FAMILIES[family.kind]
    metric = kind(family.name, family.help, labels=family.labels)
    for values, value in family.rows:
        metric.add_metric(values, value)
    return metric
