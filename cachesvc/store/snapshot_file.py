"""The Parquet file of a snapshot: as a segment's, with fewer records, in a tree of its own."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa

from cachesvc.errors import DamagedFile
from cachesvc.model import LOCAL_STORE, PartitionId, Segment, Snapshot
from cachesvc.store import layout
from cachesvc.store.file_store import FileStore, StoredFile
from cachesvc.store.parquet_file import open_parquet, write_parquet
from cachesvc.store.record_schema import RECORD_SCHEMA
from cachesvc.store.segments import SEAL_ZSTD_LEVEL, file_identity

_THREADS = 8


def write_snapshot(
    store: Path,
    partition: PartitionId,
    covered: tuple[int, int],
    records: Iterable[pa.Table],
    *,
    complete_from_offset: int,
    read_count: int,
    now_ms: int,
) -> Snapshot:
    """Writes a snapshot, durable and named by nobody. Blocking.

    Args:
        store: The directory of the store.
        partition: Whose it is.
        covered: Begin and end of what it stands for.
        records: The latest of their keys, in offset order.
        complete_from_offset: See ``Snapshot``.
        read_count: Likewise.
        now_ms: The present.

    Raises:
        OSError: Nothing is left behind.
    """
    base, end = covered
    metadata = {
        **file_identity(partition, covered),
        "cachesvc.complete_from_offset": str(complete_from_offset),
        "cachesvc.read_count": str(read_count),
    }
    directory = layout.snapshots_directory(partition)
    written = write_parquet(
        store / directory,
        layout.new_file_stem(base, end),
        RECORD_SCHEMA,
        records,
        metadata,
        SEAL_ZSTD_LEVEL,
    )
    file = Segment(
        partition=partition,
        base_offset=base,
        end_offset=end,
        record_count=written.rows,
        bytes=written.bytes,
        min_timestamp_ms=written.min_timestamp_ms,
        max_timestamp_ms=written.max_timestamp_ms,
        created_ms=now_ms,
        level=0,
        path=(directory / written.name).as_posix(),
    )
    return Snapshot(file, complete_from_offset, read_count)


def find_snapshots(files: FileStore, store: str = LOCAL_STORE) -> list[Snapshot]:
    """Every file below ``snapshots/`` that is one. Blocking; reads footers alone.

    Args:
        files: Where to look.
        store: Its name.

    Raises:
        StoreUnreadable: It does not answer for now.
    """
    stored = sorted(
        (each for each in files.list(layout.SNAPSHOTS) if each.path.endswith(".parquet")),
        key=lambda each: each.path,
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="find") as threads:
        found = list(threads.map(partial(_read, files, store), stored))
    return [snapshot for snapshot in found if snapshot is not None]


def _read(files: FileStore, store: str, stored: StoredFile) -> Snapshot | None:
    try:
        with open_parquet(files.file(stored.path, stored.bytes)) as file:
            metadata = file.metadata
            told = {
                name.removeprefix(b"cachesvc.").decode(): value.decode()
                for name, value in (metadata.metadata or {}).items()
                if name.startswith(b"cachesvc.")
            }
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            times = [group.column(1).statistics for group in groups]
            segment = Segment(
                partition=PartitionId(
                    told["connection"],
                    told["topic"],
                    int(told["incarnation"]),
                    int(told["partition"]),
                ),
                base_offset=int(told["base_offset"]),
                end_offset=int(told["end_offset"]),
                record_count=metadata.num_rows,
                bytes=stored.bytes,
                min_timestamp_ms=min((each.min_raw for each in times), default=0),
                max_timestamp_ms=max((each.max_raw for each in times), default=0),
                created_ms=stored.written_ms,
                level=0,
                path=stored.path,
                store=store,
            )
            return Snapshot(segment, int(told["complete_from_offset"]), int(told["read_count"]))
    except (DamagedFile, FileNotFoundError, KeyError):
        return None
