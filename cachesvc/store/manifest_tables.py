"""The part of the DuckDB catalogue that keeps partitions, the manifest and what is damaged."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from cachesvc.model import PartitionId, Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store.execution import Tables
from cachesvc.store.incarnation_tables import key_of
from cachesvc.store.ports import RetiredFile
from cachesvc.store.segments import data_paths

_IDENTITY = ("connection", "topic", "incarnation", "partition")
_TEXTS = ("connection", "topic", "path", "rejects_path", "store")
_COLUMNS = (
    *_IDENTITY,
    *(each.name for each in fields(Segment) if each.name != "partition"),
)
_SCHEMA = pa.schema([(n, pa.string() if n in _TEXTS else pa.int64()) for n in _COLUMNS])


def _column(segment: Segment, name: str) -> object:
    return getattr(segment.partition if name in _IDENTITY else segment, name)


class ManifestTables(Tables):
    """Statements on partitions and segments, for a catalogue that can run statements."""

    def list_partitions(self) -> dict[PartitionId, int]:
        return {PartitionId(*row[:4]): row[4] for row in self._run("list_partitions")}

    def put_partition(self, partition: PartitionId, log_start_offset: int) -> None:
        with self._transaction():
            self._run("put_partition", *key_of(partition), log_start_offset)
            self._run("put_mined_from", *key_of(partition), log_start_offset)

    def list_mined_from(self) -> dict[PartitionId, int]:
        return {PartitionId(*row[:4]): row[4] for row in self._run("list_mined_from")}

    def list_segments(self) -> list[Segment]:
        partitions: dict[tuple[Any, ...], PartitionId] = {}
        segments: list[Segment] = []
        for row in self._stream("list_segments"):
            key = row[:4]
            # There may be thousands of each partition.
            partition = partitions.get(key) or partitions.setdefault(key, PartitionId(*key))
            segments.append(Segment(partition, *row[4:]))
        return segments

    def replace_segments(
        self, removed: Sequence[Segment], added: Sequence[Segment], now_ms: int
    ) -> None:
        with self._transaction():
            self._retire(removed, now_ms)
            self._insert(added)

    def expire_segments(
        self, removed: Sequence[Segment], log_starts: Mapping[PartitionId, int], now_ms: int
    ) -> None:
        with self._transaction():
            self._retire(removed, now_ms)
            self._put_starts(log_starts)

    def put_mined_times(self, segments: Sequence[Segment]) -> None:
        columns = {
            "path": [segment.path for segment in segments],
            "oldest_ms": [segment.oldest_mined_ms for segment in segments],
            "newest_ms": [segment.newest_mined_ms for segment in segments],
        }
        with self._transaction():
            self._run_with("new_mined_times", pa.table(columns), "put_mined_times")

    def list_damaged(self) -> dict[PartitionId, list[OffsetRange]]:
        found: dict[PartitionId, list[OffsetRange]] = {}
        for *identity, begin, end in self._run("list_damaged"):
            found.setdefault(PartitionId(*identity), []).append(OffsetRange(begin, end))
        return found

    def put_damaged(
        self,
        partition: PartitionId,
        missing_ranges: Sequence[OffsetRange],
        whole: Sequence[Segment],
        log_starts: Mapping[PartitionId, int],
        now_ms: int,
        removed: Sequence[Segment] = (),
    ) -> None:
        with self._transaction():
            self._retire(removed, now_ms)
            self._insert(whole)
            for missing in missing_ranges:
                self._run("put_damaged", *key_of(partition), missing.begin, missing.end, now_ms)
            self._put_starts(log_starts)

    def forget_damaged(self, partition: PartitionId, missing: OffsetRange) -> None:
        self._run("delete_damaged", *key_of(partition), missing.begin)

    def list_scrubbed(self) -> set[str]:
        return {path for (path,) in self._run("list_scrubbed")}

    def put_scrubbed(self, paths: Collection[str]) -> None:
        with self._transaction():
            self._run_with("new_scrubbed", pa.table({"path": list(paths)}), "put_scrubbed")

    def forget_scrubbed(self) -> None:
        self._run("delete_scrubbed")

    def _insert(self, segments: Sequence[Segment]) -> None:
        if segments:
            rows = [{name: _column(each, name) for name in _COLUMNS} for each in segments]
            table = pa.Table.from_pylist(rows, schema=_SCHEMA)
            self._run_with("new_segments", table, "insert_segments")

    def _put_starts(self, log_starts: Mapping[PartitionId, int]) -> None:
        for partition, log_start_offset in log_starts.items():
            self._run("put_partition", *key_of(partition), log_start_offset)

    def _retire(self, segments: Sequence[Segment], now_ms: int) -> None:
        for segment in segments:
            self._run("delete_segment", segment.path)
            sizes = segment.bytes, segment.rejects_bytes
            for path, size in zip(data_paths(segment), sizes, strict=False):
                self._run("insert_retired", path.as_posix(), now_ms, segment.store, size)

    def list_retired(self) -> dict[str, RetiredFile]:
        return {path: RetiredFile(*rest) for path, *rest in self._run("list_retired")}

    def forget_retired(self, paths: Iterable[str]) -> None:
        with self._transaction():
            for path in paths:
                self._run("delete_retired", path)
