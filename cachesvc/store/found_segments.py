"""Segments by what their files say: name, footer, and the file of rejects beside them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cachesvc.errors import DamagedFile
from cachesvc.model import PartitionId, Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store import layout
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


def find_segments(store: Path) -> FoundSegments:
    """Every file below ``log/`` that is a segment, or was one. Blocking; reads footers alone."""
    rejects = {stem: path for path in _data_files(store / layout.REJECTS) if (stem := _stem(path))}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="find") as threads:
        paths = list(_data_files(store / layout.LOG))
        found = list(threads.map(lambda path: _read(store, path, rejects.get(_stem(path))), paths))
    damaged = {}
    for path, segment in zip(paths, found, strict=True):
        partition = layout.partition_of(path.parent.relative_to(store / layout.LOG).as_posix())
        if segment is None and partition is not None:
            covered = OffsetRange(*map(int, path.stem.split("-")[:2]))
            damaged[path.relative_to(store).as_posix()] = partition, covered
    return FoundSegments([segment for segment in found if segment is not None], damaged)


def _data_files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*.parquet")) if _stem(path))


def _stem(path: Path) -> str:
    """What a segment and its rejects have in common, with the directory; empty for other files."""
    match = _STEM.fullmatch(path.stem)
    if match is None:
        return ""
    return "/".join((*path.parts[-5:-1], match["stem"]))


def _read(store: Path, path: Path, rejects: Path | None) -> Segment | None:
    try:
        with open_parquet(path) as file:
            metadata = file.metadata
            told = metadata.metadata or {}
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            times = [group.column(1).statistics for group in groups]
            status = path.stat()
            reject_count = 0 if rejects is None else _count(rejects)
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
                bytes=status.st_size,
                min_timestamp_ms=min((each.min_raw for each in times), default=0),
                max_timestamp_ms=max((each.max_raw for each in times), default=0),
                created_ms=int(status.st_mtime * 1000),
                level=0,
                path=path.relative_to(store).as_posix(),
                reject_count=reject_count,
                rejects_path=rejects.relative_to(store).as_posix()
                if rejects and reject_count
                else "",
                oldest_mined_ms=int(_text(told, "oldest_mined_ms")),
                newest_mined_ms=int(_text(told, "newest_mined_ms")),
                rejects_bytes=rejects.stat().st_size if rejects and reject_count else 0,
            )
    except (DamagedFile, FileNotFoundError, KeyError):
        return None


def _text(told: dict[bytes, bytes], name: str) -> str:
    return told[f"cachesvc.{name}".encode()].decode()


def _count(rejects: Path) -> int:
    """Rows of a file of rejects; 0 where it is damaged, so that its segment is without."""
    try:
        with open_parquet(rejects) as file:
            return int(file.metadata.num_rows)
    except (DamagedFile, FileNotFoundError):
        return 0
