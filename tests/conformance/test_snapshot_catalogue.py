"""The contract of ``snapshot_port.Snapshots``, for each implementation."""

from __future__ import annotations

from cachesvc.model import PartitionId, Segment, Snapshot
from cachesvc.store.ports import Catalogue, RetiredFile
from cachesvc.store.snapshot_port import SnapshotRead

A0 = PartitionId("main", "a", 1, 0)
A1 = PartitionId("main", "a", 1, 1)
B7 = PartitionId("main", "b", 2, 7)


def snapshot(partition: PartitionId, end: int, store: str = "local") -> Snapshot:
    file = Segment(
        partition=partition,
        base_offset=3,
        end_offset=end,
        record_count=2**40,
        bytes=2**41,
        min_timestamp_ms=-1,
        max_timestamp_ms=2**50,
        created_ms=7,
        level=0,
        path=f"snapshots/{partition}/{end}.parquet",
        store=store,
    )
    return Snapshot(file, 5, 2**42)


def test_what_is_added_is_listed_in_order_until_it_is_removed(catalogue: Catalogue) -> None:
    port = catalogue.snapshots
    assert port.list() == []
    b, newer, older, other = (
        snapshot(B7, 9, "s3"),
        snapshot(A0, 20),
        snapshot(A0, 9),
        snapshot(A1, 5),
    )
    port.replace([], [b, newer], 1)
    port.replace([], [older, other], 2)
    assert port.list() == [older, newer, other, b]
    latest = snapshot(A0, 30)
    port.replace([older, b], [latest], 3)
    assert port.list() == [newer, latest, other]
    assert catalogue.list_retired() == {
        older.file.path: RetiredFile(3, "local", 2**41),
        b.file.path: RetiredFile(3, "s3", 2**41),
    }
    port.replace([older], [], 4)
    assert catalogue.list_retired()[older.file.path].retired_ms == 3
    assert catalogue.list_segments() == []


def test_what_is_not_there_is_not_retired(catalogue: Catalogue) -> None:
    catalogue.snapshots.replace([snapshot(A0, 9)], [], 1)
    assert catalogue.list_retired() == {}


def test_reads_are_of_a_subscription_and_a_partition(catalogue: Catalogue) -> None:
    port = catalogue.snapshots
    assert port.list_reads() == {}
    x, y, z, w = (SnapshotRead(path, path in "xw") for path in "xyzw")
    port.put_reads("billing", {A0: x, B7: y})
    port.put_reads("copies", {A0: x})
    port.put_reads("billing", {B7: z, A1: w})
    assert port.list_reads() == {"billing": {A0: x, A1: w, B7: z}, "copies": {A0: x}}
    port.put_reads("copies", {A0: SnapshotRead("x")})
    assert port.list_reads()["copies"] == {A0: SnapshotRead("x", recovers=False)}
    port.put_reads("copies", {A0: x})
    port.forget_reads("billing", [A0, B7])
    port.forget_reads("nobody", [A0])
    port.forget_reads("copies", [A1])
    assert port.list_reads() == {"billing": {A1: w}, "copies": {A0: x}}
    port.forget_reads("billing", [A1])
    assert port.list_reads() == {"copies": {A0: x}}
