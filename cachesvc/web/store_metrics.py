"""Figures of the store beside its files: the disk, sealing, the catalogue."""

import os

from cachesvc.web.families import (
    HistogramFamily,
    HistogramSample,
    Kind,
    Rows,
    Told,
    counter,
    gauge,
)
from cachesvc.web.observed import Observed


def store_metrics(observed: Observed, quarantined_bytes: int) -> Told:
    """All of them; what is in quarantine was looked at beside the event loop."""
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
    yield from _stores(observed)
    snapshots = observed.snapshots()
    yield gauge("cachesvc_snapshots", "Snapshots.", len(snapshots))
    size = sum(snapshot.file.bytes for snapshot in snapshots)
    yield gauge("cachesvc_snapshot_bytes", "Bytes of snapshots.", size)
    yield gauge(
        "cachesvc_quarantine_bytes",
        "Bytes of damaged files that are kept for a look.",
        quarantined_bytes,
    )
    yield HistogramFamily(
        "cachesvc_catalogue_call_seconds",
        "What calls of the catalogue took, with their wait for those before them.",
        (),
        [((), HistogramSample.of(store.catalogue.took))],
    )


def _stores(observed: Observed) -> Told:
    away, held, budget, full = Rows(), Rows(), Rows(), Rows()
    store = observed.store
    for name in store.stores.names:
        away.add((name,), name in store.watch.away or name in store.sealer.failures)
    for name, level in observed.levels().items():
        held.add((name,), level.bytes)
        budget.add((name,), level.bytes_max)
        full.add((name,), bool(level.full))
    label = ("store",)
    yield away.family(
        "cachesvc_store_away", Kind.GAUGE, "1 while a store does not take or give files.", label
    )
    yield held.family(
        "cachesvc_store_held_bytes", Kind.GAUGE, "Bytes in a store that has a budget.", label
    )
    yield budget.family("cachesvc_store_budget_bytes", Kind.GAUGE, "The budget of a store.", label)
    yield full.family(
        "cachesvc_store_full",
        Kind.GAUGE,
        "1 while nothing is mined for a store, as its budget is used up and nothing may go.",
        label,
    )
