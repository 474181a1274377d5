"""Figures of mining: what comes in, how far it is behind, which readers there are."""

import time

from cachesvc.log.partition_log import PartitionLog
from cachesvc.watching.lag import mining_lag_bytes, mining_lag_s
from cachesvc.web.families import Bounded, Kind, Rows, Told
from cachesvc.web.observed import Observed

_TOPIC = ("connection", "topic")
_TOPICS_A_TURN = 50


def mining_metrics(observed: Observed, topics: Bounded) -> Told:
    """All of them."""
    yield from _by_topic(observed, topics)
    yield from _readers(observed)


def _by_topic(observed: Observed, topics: Bounded) -> Told:
    records, sizes, rejects = Rows(), Rows(), Rows()
    behind, behind_bytes, behind_s = Rows(), Rows(), Rows(max)
    states = Rows()
    now_ms = time.time_ns() // 1_000_000
    logs = observed.store.logs
    names = [
        (connection, each) for connection in logs.connections() for each in logs.topics(connection)
    ]
    for number, (connection, topic) in enumerate(names):
        if number % _TOPICS_A_TURN == 0:
            yield None
        labels = connection, topics.label(connection, topic)
        found = logs.of_name(connection, topic)
        for topic_id in {log.id.topic_id for log in found}:
            mined = observed.watch.since_start(topic_id)
            records.add(labels, mined.records)
            sizes.add(labels, mined.bytes)
            rejects.add(labels, mined.rejects)
        for log in found:
            states.add((connection, log.source.state.name.lower()), 1)
            _add_lag(log, labels, (behind, behind_bytes, behind_s), now_ms)
    counter, gauge = Kind.COUNTER, Kind.GAUGE
    yield records.family(
        "cachesvc_mined_records", counter, "Records mined since the service started.", _TOPIC
    )
    yield sizes.family(
        "cachesvc_mined_bytes", counter, "Bytes mined since then, as they are stored.", _TOPIC
    )
    yield rejects.family(
        "cachesvc_rejected_records",
        counter,
        "Records that the JSON rule or the bound for large records turned away since then.",
        _TOPIC,
    )
    yield behind.family(
        "cachesvc_mining_lag_records", gauge, "Offsets that mining is behind the source.", _TOPIC
    )
    yield behind_bytes.family(
        "cachesvc_mining_lag_bytes", gauge, "Estimate of what these will take.", _TOPIC
    )
    yield behind_s.family(
        "cachesvc_mining_lag_seconds",
        gauge,
        "Age of the newest mined record of the partition that is furthest behind; 0 without lag.",
        _TOPIC,
    )
    yield states.family(
        "cachesvc_partitions",
        gauge,
        "Partitions by what mining of them is doing.",
        ("connection", "state"),
    )


def _add_lag(
    log: PartitionLog, labels: tuple[str, str], rows: tuple[Rows, Rows, Rows], now_ms: int
) -> None:
    lag = log.mining_lag
    if lag is None:
        return
    records, sizes, seconds = rows
    records.add(labels, lag)
    sizes.add(labels, mining_lag_bytes(log) if lag else 0)
    seconds.add(labels, (mining_lag_s(log, now_ms) or 0.0) if lag else 0.0)


def _readers(observed: Observed) -> Told:
    readers, throttled, cut_off, assigned = Rows(), Rows(), Rows(), Rows()
    for source in observed.sources.all():
        readers.add((source.name,), 0)
        cut_off.add((source.name,), 1 if source.error else 0)
    for reader in observed.assignments.readers():
        readers.add((reader.connection,), 1)
        assigned.add((reader.connection, reader.name), len(reader.assigned))
        throttled.add((reader.connection, reader.name), reader.throttled_ms / 1000)
    gauge = Kind.GAUGE
    yield readers.family(
        "cachesvc_readers", gauge, "Reader processes that have joined.", ("connection",)
    )
    yield cut_off.family(
        "cachesvc_source_unreachable",
        gauge,
        "1 while the service does not reach a connection's brokers.",
        ("connection",),
    )
    yield assigned.family(
        "cachesvc_reader_topics", gauge, "Topics in a reader's hands.", ("connection", "reader")
    )
    yield throttled.family(
        "cachesvc_reader_throttled_seconds",
        Kind.COUNTER,
        "For how long quotas of the brokers have held a reader's fetches up since it joined.",
        ("connection", "reader"),
    )
