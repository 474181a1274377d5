"""Figures of topics and their partitions, in one pass: mining, and the files that they have."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import TopicId
from cachesvc.policy.throughput import Tally
from cachesvc.watching.lag import mining_lag_bytes, mining_lag_s
from cachesvc.web.families import Bounded, Family, Kind, Rows, Told
from cachesvc.web.observed import Observed

_LABELS = ("connection", "topic")
_TOPICS_A_TURN = 25
_COUNTER, _GAUGE = Kind.COUNTER, Kind.GAUGE
_SUMS = (
    ("cachesvc_mined_records", _COUNTER, "Records mined since the service started."),
    ("cachesvc_mined_bytes", _COUNTER, "Bytes mined since then, as they are stored."),
    (
        "cachesvc_rejected_records",
        _COUNTER,
        "Records that the JSON rule or the bound for large records turned away since then.",
    ),
    ("cachesvc_mining_lag_records", _GAUGE, "Offsets that mining is behind the source."),
    ("cachesvc_mining_lag_bytes", _GAUGE, "Estimate of what these will take."),
    ("cachesvc_segments", _GAUGE, "Segments."),
    ("cachesvc_segment_bytes", _GAUGE, "Bytes of segments."),
)


def topic_metrics(observed: Observed, topics: Bounded) -> Told:
    """All of them."""
    sums, behind_s = [Rows() for _ in _SUMS], Rows(max)
    partitions = _Partitions()
    now_ms = time.time_ns() // 1_000_000
    logs = observed.store.logs
    names = [(each, topic) for each in logs.connections() for topic in logs.topics(each)]
    for number, (connection, topic) in enumerate(names):
        if number % _TOPICS_A_TURN == 0:
            yield None
        found = logs.of_name(connection, topic)
        mined = _mined(observed, connection, topic, {log.id.incarnation for log in found})
        behind = _Behind.of(found, now_ms)
        segments = partitions.add(connection, found)
        labels = connection, topics.label(connection, topic)
        for rows, value in zip(
            sums,
            (mined.records, mined.bytes, mined.rejects, behind.records, behind.bytes, *segments),
            strict=True,
        ):
            rows.add(labels, value)
        behind_s.add(labels, behind.seconds)
    for log in observed.store.ranges.all_below():
        labels = log.id.connection, topics.label(log.id.connection, log.id.topic)
        for rows, value in zip(sums[-2:], partitions.add_files(log), strict=True):
            rows.add(labels, value)
    for rows, (name, kind, text) in zip(sums, _SUMS, strict=True):
        yield rows.family(name, kind, text, _LABELS)
    text = "Age of the newest mined record of the partition that is furthest behind; 0 without lag."
    yield behind_s.family("cachesvc_mining_lag_seconds", _GAUGE, text, _LABELS)
    yield from partitions.families()


def _mined(observed: Observed, connection: str, topic: str, incarnations: Iterable[int]) -> Tally:
    tallies = (
        observed.watch.since_start(TopicId(connection, topic, each)) for each in incarnations
    )
    return sum(tallies, start=Tally())


@dataclass(slots=True)
class _Behind:
    """How far the mining of a topic is behind its source."""

    records: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, logs: Sequence[PartitionLog], now_ms: int) -> "_Behind":
        found = cls()
        for log in logs:
            lag = log.mining_lag
            if lag:
                found.records += lag
                found.bytes += mining_lag_bytes(log)
                found.seconds = max(found.seconds, mining_lag_s(log, now_ms) or 0.0)
        return found


@dataclass(slots=True)
class _Partitions:
    """Partitions by what mining of them is doing, and journals by what becomes of them."""

    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    journals: dict[str, list[int]] = field(
        default_factory=lambda: {kind: [0, 0] for kind in ("open", "full", "warm")}
    )

    def add(self, connection: str, logs: Sequence[PartitionLog]) -> tuple[int, int]:
        """Enters a topic's; returns how many segments they have, and of how many bytes."""
        count = size = 0
        for log in logs:
            self.states[connection, log.source.state.name.lower()] += 1
            segments, segment_bytes = self.add_files(log)
            count += segments
            size += segment_bytes
        return count, size

    def add_files(self, log: PartitionLog) -> tuple[int, int]:
        """The same for a lower range of a partition, which does not count as another one."""
        for entry in log.journals:
            sums = self.journals[_kind(entry)]
            sums[0] += 1
            sums[1] += entry.bytes
        return len(log.segments), sum(segment.bytes for segment in log.segments)

    def families(self) -> Iterable[Family]:
        """What there is to tell."""
        text = "Partitions by what mining of them is doing."
        labels = ("connection", "state")
        yield Family("cachesvc_partitions", _GAUGE, text, labels, list(self.states.items()))
        text = (
            "Journals: open for appends, full and not yet sealed, or warm, with a segment beside."
        )
        counts = [((kind,), sums[0]) for kind, sums in self.journals.items()]
        yield Family("cachesvc_journals", _GAUGE, text, ("kind",), counts)
        sizes = [((kind,), sums[1]) for kind, sums in self.journals.items()]
        yield Family("cachesvc_journal_bytes", _GAUGE, "Bytes of journals.", ("kind",), sizes)


def _kind(entry: JournalEntry) -> str:
    if entry.sealed:
        return "warm"
    return "full" if entry.file is None else "open"
