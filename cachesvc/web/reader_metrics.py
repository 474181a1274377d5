"""Figures of what reads from the brokers."""

from cachesvc.web.families import Kind, Rows, Told
from cachesvc.web.observed import Observed

_READER = ("connection", "reader")


def reader_metrics(observed: Observed) -> Told:
    """All of them."""
    readers, cut_off, assigned, throttled = Rows(), Rows(), Rows(), Rows()
    for source in observed.sources.all():
        readers.add((source.name,), 0)
        cut_off.add((source.name,), bool(source.error))
    for reader in observed.assignments.readers():
        readers.add((reader.connection,), 1)
        assigned.add((reader.connection, reader.name), len(reader.assigned))
        throttled.add((reader.connection, reader.name), reader.throttled_ms / 1000)
    yield readers.family(
        "cachesvc_readers", Kind.GAUGE, "Reader processes that have joined.", ("connection",)
    )
    yield cut_off.family(
        "cachesvc_source_unreachable",
        Kind.GAUGE,
        "1 while the service does not reach a connection's brokers.",
        ("connection",),
    )
    yield assigned.family(
        "cachesvc_reader_topics", Kind.GAUGE, "Topics in a reader's hands.", _READER
    )
    yield throttled.family(
        "cachesvc_reader_throttled_seconds",
        Kind.COUNTER,
        "For how long quotas of the brokers have held a reader's fetches up since it joined.",
        _READER,
    )
