"""Families as text, in whichever of Prometheus's formats a scraper asks for."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from cachesvc.web.families import Family, HistogramFamily, Kind

_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_ESCAPED_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_TOTAL = "_total"
_LABELS_MAX = 100_000
"""Labels that are kept from scrape to scrape, which nearly all stay the same."""


class Exposition:
    """Makes text; what the process itself takes is added. Blocking, for any thread.

    prometheus-client does it, but for the many samples of topics: a thousand of these take it 50 to
    90 ms, and here 10.
    """

    def __init__(self) -> None:
        self._process = CollectorRegistry()
        for kind in (ProcessCollector, PlatformCollector, GCCollector):
            kind(registry=self._process)

    def text(self, families: Iterable[Family | HistogramFamily], accept: str) -> tuple[bytes, str]:
        """The text and its media type; ``accept`` is the header of that name."""
        encode, media_type = choose_encoder(accept)
        open_metrics = "openmetrics" in media_type
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Given(self._process.collect()))
        lines: list[str] = []
        for family in families:
            if isinstance(family, HistogramFamily):
                registry.register(_Given([_histogram(family)]))
            else:
                lines += self._lines(family, open_metrics=open_metrics)
        lines.append("")
        return "\n".join(lines).encode() + encode(registry), media_type

    @staticmethod
    def _lines(family: Family, *, open_metrics: bool) -> Iterator[str]:
        sample = family.name + (_TOTAL if family.kind is Kind.COUNTER else "")
        # Only the older format calls the whole family as its samples.
        name, escaped = (family.name, _ESCAPED) if open_metrics else (sample, _ESCAPED_HELP)
        yield f"# HELP {name} {family.help.translate(escaped)}"
        yield f"# TYPE {name} {family.kind.value}"
        for values, value in family.rows:
            yield f"{sample}{_labels(family.labels, values)} {float(value)!r}"


class _Given(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


@lru_cache(_LABELS_MAX)
def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = zip(names, values, strict=True)
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in pairs) + "}"


def _histogram(family: HistogramFamily) -> Metric:
    histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, sample in family.rows:
        bounds = [*map(str, map(float, sample.bounds)), "+Inf"]
        buckets = list(zip(bounds, sample.cumulative, strict=True))
        histogram.add_metric(labels, buckets, sample.total)
    return histogram
