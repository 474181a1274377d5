"""Figures of the store beside its files: the disk, sealing, the catalogue."""

import os

from cachesvc.web.families import (
    HistogramFamily,
    HistogramSample,
    Told,
    counter,
    gauge,
)
from cachesvc.web.observed import Observed


def store_metrics(observed: Observed) -> Told:
    """All of them."""
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
