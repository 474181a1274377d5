"""What is told of a service as a whole."""

from collections.abc import Sequence

from cachesvc.cli.top.columns import Kind, show
from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.spark import spark
from cachesvc.units import show_bytes, show_duration
from cachesvc.v1.watching_pb2 import ConnectionOverview, TrendPoint

_SPARK_WIDTH = 16


def facts(figures: Figures) -> list[tuple[str, str]]:
    """How the service as a whole is doing, name by name; less where the caller may see less."""
    found = figures.now.overview
    if found is None:
        return _facts_of_seen(figures)
    each = found.connections
    ages = figures.ages_s((0.5, 0.99))
    aged = "-" if ages is None else f"50 % {_short_s(ages[0])}, 99 % {_short_s(ages[1])}"
    cores = show(Kind.SHARE, figures.cores())
    disk = f"{show_bytes(found.disk_free_bytes)} of {show_bytes(found.disk_bytes)} free"
    waiting = f", {found.seals_waiting} journals wait" if found.seals_waiting else ""
    there_are = (
        f"topics {sum(c.topics for c in each):,}, subscriptions {found.subscriptions:,}, "
        f"streams {found.streams:,}, readers {sum(c.readers for c in each):,}"
    )
    takes = f"core {cores}, memory {show_bytes(found.resident_bytes)}, {found.open_files:,} files"
    return [
        *_flows(each),
        *_of_late(figures),
        ("mined to sent", aged),
        ("there are", there_are),
        ("service", takes),
        ("disk", f"{disk}{waiting}"),
    ]


def _flows(each: Sequence[ConnectionOverview]) -> list[tuple[str, str]]:
    """What is mined and sent of all connections, and how much of it the brokers were spared."""
    mined_bytes, sent_bytes = sum(c.mined_bytes for c in each), sum(c.delivered_bytes for c in each)
    mined = _per_s(sum(c.records_per_s for c in each), sum(c.bytes_per_s for c in each))
    sent = _per_s(
        sum(c.delivered_records_per_s for c in each), sum(c.delivered_bytes_per_s for c in each)
    )
    spared = f", {sent_bytes / mined_bytes:.1f} × mined" if mined_bytes else ""
    return [
        ("mined", f"{mined}, {sum(c.mined_records for c in each):,} in all"),
        ("sent", f"{sent}, {sum(c.delivered_records for c in each):,} in all{spared}"),
    ]


def _of_late(figures: Figures) -> list[tuple[str, str]]:
    """Small charts of the last hour, each with its highest amount; none without a point."""
    points = figures.trend
    if not points:
        return []
    told = []
    for name, kind, values in (
        ("mined", Kind.RATE, [each.mined_records_per_s for each in points]),
        ("sent", Kind.RATE, [each.delivered_records_per_s for each in points]),
        ("lag", Kind.COUNT, [_lag(each) for each in points]),
    ):
        highest = max((value for value in values if value is not None), default=None)
        if highest is None:
            continue
        unit = "/s" if kind is Kind.RATE else ""
        told.append(f"{name} {spark(values, _SPARK_WIDTH)} to {show(kind, highest)}{unit}")
    minutes = (points[-1].at_ms - points[0].at_ms) // 60_000
    return [(f"last {max(1, minutes)} min", ", ".join(told))]


def _lag(point: TrendPoint) -> float | None:
    return point.lag_records if point.HasField("lag_records") else None


def _facts_of_seen(figures: Figures) -> list[tuple[str, str]]:
    """Sums over what the caller sees."""
    activities = [topic.activity for task in figures.now.tasks for topic in task.topics]
    sent = [topic.delivered for task in figures.now.tasks for topic in task.topics]
    mined_per_s = sum(each.records_per_s_10s for each in activities)
    mined_bytes = sum(each.bytes_per_s_10s for each in activities)
    sent_per_s = sum(each.records_per_s_10s for each in sent)
    sent_bytes = sum(each.bytes_per_s_10s for each in sent)
    return [
        ("mined", f"{_per_s(mined_per_s, mined_bytes)}, of the topics that you see"),
        ("sent", f"{_per_s(sent_per_s, sent_bytes)}, of the topics that you see"),
    ]


def _per_s(records: float, size: float) -> str:
    return f"{show(Kind.RATE, records)} records/s, {show_bytes(round(size))}/s"


def _short_s(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else show_duration(seconds)
