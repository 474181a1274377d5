"""Figures of what reads from the brokers: reader processes, and what they say of themselves."""

from collections.abc import Callable, Sequence

from cachesvc.assignment.readers import JoinedReader, ReaderFigures
from cachesvc.web.families import Family, Kind, Rows, Told
from cachesvc.web.observed import Observed

_READER = ("connection", "reader")
_OWN: Sequence[tuple[str, Kind, str, Callable[[ReaderFigures], float]]] = (
    (
        "cachesvc_reader_cpu_seconds",
        Kind.COUNTER,
        "CPU seconds of a reader process, since it began.",
        lambda found: found.cpu_s,
    ),
    (
        "cachesvc_reader_resident_bytes",
        Kind.GAUGE,
        "Resident memory of a reader process.",
        lambda found: found.resident_bytes,
    ),
    (
        "cachesvc_reader_open_fds",
        Kind.GAUGE,
        "Open file descriptors of a reader process.",
        lambda found: found.open_files,
    ),
    (
        "cachesvc_reader_fetched_bytes",
        Kind.COUNTER,
        "Bytes of record batches that a reader has fetched since it joined.",
        lambda found: found.fetched_bytes,
    ),
    (
        "cachesvc_reader_busy_seconds",
        Kind.COUNTER,
        "For how long a reader has decoded, encoded and sent records since it joined.",
        lambda found: found.busy_s,
    ),
    (
        "cachesvc_reader_unacknowledged_bytes",
        Kind.GAUGE,
        "Bytes that a reader has sent and the service has not acknowledged.",
        lambda found: found.unacknowledged_bytes,
    ),
)


def reader_metrics(observed: Observed) -> Told:
    """All of them."""
    joined = observed.assignments.readers()
    readers, cut_off, assigned, throttled = Rows(), Rows(), Rows(), Rows()
    for source in observed.sources.all():
        readers.add((source.name,), 0)
        cut_off.add((source.name,), bool(source.error))
    for reader in joined:
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
    yield from _own(joined)


def _own(joined: Sequence[JoinedReader]) -> Told:
    """What readers say of themselves, as far as they have said it."""
    told = [
        ((reader.connection, reader.name), reader.figures)
        for reader in joined
        if reader.figures is not None
    ]
    for name, kind, text, value in _OWN:
        yield Family(name, kind, text, _READER, [(of, value(found)) for of, found in told])
    yield Family(
        "cachesvc_reader_fetches",
        Kind.COUNTER,
        "Fetches of a reader since it joined, by whether the broker answered.",
        (*_READER, "result"),
        [
            row
            for of, found in told
            for row in (
                ((*of, "answered"), found.fetches),
                ((*of, "failed"), found.fetches_failed),
            )
        ],
    )
