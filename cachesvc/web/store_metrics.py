"""Figures of the store: files, what they take, what is left of the disk, the catalogue."""

import os

from cachesvc.web.families import (
    Bounded,
    HistogramFamily,
    HistogramSample,
    Kind,
    Rows,
    Told,
    counter,
    gauge,
)
from cachesvc.web.observed import Observed

_TOPIC = ("connection", "topic")
_LOGS_A_TURN = 200


def store_metrics(observed: Observed, topics: Bounded) -> Told:
    """All of them."""
    yield from _files(observed, topics)
    store = observed.store
    disk = os.statvfs(store.path)
    yield gauge(
        "cachesvc_store_free_bytes",
        "Bytes that the store's disk still takes.",
        disk.f_bavail * disk.f_frsize,
    )
    yield gauge("cachesvc_store_size_bytes", "Bytes of that disk.", disk.f_blocks * disk.f_frsize)
    yield gauge(
        "cachesvc_seals_waiting", "Journals that wait to become segments.", store.sealer.waiting
    )
    yield counter(
        "cachesvc_seals",
        "Journals that became segments since the service started.",
        store.sealer.sealed,
    )
    yield HistogramFamily(
        "cachesvc_catalogue_call_seconds",
        "What calls of the catalogue took, with their wait for those before them.",
        (),
        [((), HistogramSample.of(store.catalogue.took))],
    )


def _files(observed: Observed, topics: Bounded) -> Told:
    segments, segment_bytes, journals, journal_bytes = Rows(), Rows(), Rows(), Rows()
    for kind in ("open", "full", "warm"):
        journals.add((kind,), 0)
        journal_bytes.add((kind,), 0)
    store = observed.store
    logs = [*store.logs.values(), *store.ranges.all_below()]
    for number, log in enumerate(logs):
        if number % _LOGS_A_TURN == 0:
            yield None
        labels = log.id.connection, topics.label(log.id.connection, log.id.topic)
        segments.add(labels, len(log.segments))
        segment_bytes.add(labels, sum(segment.bytes for segment in log.segments))
        for entry in log.journals:
            kind = "warm" if entry.sealed else "full" if entry.file is None else "open"
            journals.add((kind,), 1)
            journal_bytes.add((kind,), entry.bytes)
    gauge_kind = Kind.GAUGE
    yield segments.family("cachesvc_segments", gauge_kind, "Segments.", _TOPIC)
    yield segment_bytes.family("cachesvc_segment_bytes", gauge_kind, "Bytes of segments.", _TOPIC)
    yield journals.family(
        "cachesvc_journals",
        gauge_kind,
        "Journals: open for appends, full and not yet sealed, or warm, with a segment beside.",
        ("kind",),
    )
    yield journal_bytes.family(
        "cachesvc_journal_bytes", gauge_kind, "Bytes of journals.", ("kind",)
    )
