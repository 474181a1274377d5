"""A copy of a catalogue is one as of then, of whatever kind it is."""

from __future__ import annotations

import pickle
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from cachesvc.model import Mode, Segment, Snapshot
from cachesvc.store.access_port import TokenRecord
from cachesvc.store.catalogues import open_copy
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import (
    Catalogue,
    ConnectionRecord,
    JobRunRecord,
    PositionCommit,
    SubscriptionChange,
    SubscriptionRecord,
)
from tests.support.frames import ORDERS

COPIES = SubscriptionRecord("copies", "main", ("orders",), "", Mode.FULL, 1, False, 10)
SEGMENT = Segment(ORDERS, 0, 9, 9, 100, 1, 2, 3, 0, "log/0-9.parquet", 1, "rejects/0-9.parquet")
LATEST = Snapshot(
    replace(SEGMENT, path="snapshots/0-9.parquet", reject_count=0, rejects_path=""), 0, 9
)
TOKEN = TokenRecord("7", "ops", "ab", 1, None, None)


def opened(catalogue: Catalogue, copy: Path) -> Catalogue:
    """The copy that a catalogue made, as one of its kind."""
    if isinstance(catalogue, MemoryCatalogue):
        found: MemoryCatalogue = pickle.loads(copy.read_bytes())
        return found
    return open_copy(copy)


def everything(catalogue: Catalogue) -> list[object]:
    return [
        catalogue.list_partitions(),
        catalogue.list_segments(),
        catalogue.list_retired(),
        catalogue.list_subscriptions(),
        catalogue.list_positions(),
        catalogue.list_connections(),
        catalogue.list_job_runs("", 100),
        catalogue.snapshots.list(),
        list(catalogue.access.list_tokens()),
    ]


def fill(catalogue: Catalogue) -> None:
    catalogue.put_partition(ORDERS, 0)
    catalogue.replace_segments([], [SEGMENT], 1)
    catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 3})])
    catalogue.commit_positions([PositionCommit("copies", {ORDERS: 9}, 4)])
    catalogue.put_connection(ConnectionRecord("made", "{}", 1, 1))
    catalogue.add_job_run(JobRunRecord("sweep", 1, 2, True))
    catalogue.snapshots.replace([], [LATEST], 1)
    catalogue.access.put_token(TOKEN)


def change(catalogue: Catalogue) -> None:
    catalogue.expire_segments([SEGMENT], {ORDERS: 9}, 2)
    catalogue.delete_subscription("copies")
    catalogue.delete_connection("made")
    catalogue.snapshots.replace([LATEST], [], 2)
    catalogue.access.put_token(replace(TOKEN, revoked_ms=5))


def test_a_copy_has_what_there_was_and_nothing_of_later(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    for _ in range(2):  # the second takes the place of the first
        fill(catalogue)
        catalogue.settle()
        number = catalogue.part_changes()
        catalogue.copy_to(copy)
        before = everything(catalogue)
        change(catalogue)
        assert everything(catalogue) != before
        with closing(opened(catalogue, copy)) as found:
            assert everything(found) == before
        assert catalogue.part_changes() >= number
        catalogue.forget_changes(number - 1)
        catalogue.forget_retired(catalogue.list_retired())


def test_a_copy_is_changed_by_itself(catalogue: Catalogue, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    fill(catalogue)
    catalogue.settle()
    catalogue.copy_to(copy)
    before = everything(catalogue)
    with closing(opened(catalogue, copy)) as found:
        change(found)
        changed = everything(found)
        assert changed != before
    assert everything(catalogue) == before
    if not isinstance(catalogue, MemoryCatalogue):
        with closing(open_copy(copy)) as again:
            assert everything(again) == changed
