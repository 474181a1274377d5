"""Segments by what their files say: name, footer, and the file of rejects beside them."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from cachesvc.errors import DamagedFile
from cachesvc.model import LOCAL_STORE, PartitionId, Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store import layout
from cachesvc.store.file_store import FileStore, StoredFile
from cachesvc.store.parquet_file import open_parquet

_THREADS = 8
_STEM = re.compile(r"(?P<stem>\d{20}-\d{20}-[0-9a-f]{8})-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class FoundSegments:
    """The files below ``log/`` by what they say.

    Attributes:
        segments: Of those whose footer is whole. Levels are not told: each counts as sealed.
        damaged: Of the others the path with partition and range, as their names tell.
    """

    segments: list[Segment]
    damaged: dict[str, tuple[PartitionId, OffsetRange]]


def find_segments(files: FileStore, store: str = LOCAL_STORE) -> FoundSegments:
    """Every file below ``log/`` that is a segment, or was one. Blocking; reads footers alone.

    Args:
        files: Where to look.
        store: Its name.

    Raises:
        StoreUnreadable: It does not answer for now.
    """
    rejects = {stem: each for each in files.list(layout.REJECTS) if (stem := _stem(each.path))}
    stored = sorted((s for s in files.list(layout.LOG) if _stem(s.path)), key=lambda s: s.path)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="find") as threads:
        read = partial(_read, files, store)
        found = list(threads.map(lambda s: read(s, rejects.get(_stem(s.path))), stored))
    damaged = {}
    for each, segment in zip(stored, found, strict=True):
        path = PurePosixPath(each.path)
        partition = layout.partition_of(path.parent.relative_to(layout.LOG).as_posix())
        if segment is None and partition is not None:
            covered = OffsetRange(*map(int, path.stem.split("-")[:2]))
            damaged[each.path] = partition, covered
    return FoundSegments([segment for segment in found if segment is not None], damaged)


def _stem(name: str) -> str:
    """What a segment and its rejects have in common, with the directory; empty for other files."""
    path = PurePosixPath(name)
    match = _STEM.fullmatch(path.stem) if path.suffix == ".parquet" else None
    if match is None:
        return ""
    return "/".join((*path.parts[-5:-1], match["stem"]))


def _read(
    files: FileStore, store: str, stored: StoredFile, rejects: StoredFile | None
) -> Segment | None:
    try:
        with open_parquet(files.file(stored.path, stored.bytes)) as file:
            metadata = file.metadata
            told = metadata.metadata or {}
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            times = [group.column(1).statistics for group in groups]
        reject_count = 0 if rejects is None else _count(files, rejects)
        return Segment(
            partition=PartitionId(
                _text(told, "connection"),
                _text(told, "topic"),
                int(_text(told, "incarnation")),
                int(_text(told, "partition")),
            ),
            base_offset=int(_text(told, "base_offset")),
            end_offset=int(_text(told, "end_offset")),
            record_count=metadata.num_rows,
            bytes=stored.bytes,
            min_timestamp_ms=min((each.min_raw for each in times), default=0),
            max_timestamp_ms=max((each.max_raw for each in times), default=0),
            created_ms=stored.written_ms,
            level=0,
            path=stored.path,
            reject_count=reject_count,
            rejects_path=rejects.path if rejects and reject_count else "",
            oldest_mined_ms=int(_text(told, "oldest_mined_ms")),
            newest_mined_ms=int(_text(told, "newest_mined_ms")),
            store=store,
            rejects_bytes=rejects.bytes if rejects and reject_count else 0,
        )
    except (DamagedFile, FileNotFoundError, KeyError):
        return None


def _text(told: dict[bytes, bytes], name: str) -> str:
    return told[f"cachesvc.{name}".encode()].decode()


def _count(files: FileStore, rejects: StoredFile) -> int:
    """Rows of a file of rejects; 0 where it is damaged, so that its segment is without."""
    try:
        with open_parquet(files.file(rejects.path, rejects.bytes)) as file:
            return int(file.metadata.num_rows)
    except (DamagedFile, FileNotFoundError):
        return 0
