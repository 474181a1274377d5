"""Where things lie in a store directory.

    <store>/LOCK                                       held by the service that owns the store
    <store>/catalogue.duckdb                           manifest, subscriptions, job history
    <store>/log/<connection>/<topic>/i<incarnation>/partition=<n>/<base>-<end>-<token>.parquet
    <store>/rejects/…                                  same tree: records turned away
    <store>/journal/<connection>/<topic>/i<incarnation>/partition=<n>/<base>.journal
    <store>/quarantine/…                               damaged pieces, kept for a look

Offsets in file names have 20 digits, so that names sort as offsets do. A token makes every file
name new: a file that exists is never written again, and a merge never meets its own sources.
"""

import re
import secrets
from pathlib import Path, PurePosixPath

from cachesvc.model import PartitionId

CATALOGUE = "catalogue.duckdb"
LOCK = "LOCK"
LOG = "log"
REJECTS = "rejects"
JOURNAL = "journal"
QUARANTINE = "quarantine"
JOURNAL_SUFFIX = ".journal"
TEMPORARY_SUFFIX = ".tmp"

_PARTITION_PATH = re.compile(r"(?P<c>[^/]+)/(?P<t>[^/]+)/i(?P<i>\d+)/partition=(?P<p>\d+)")


def partition_directory(partition: PartitionId) -> PurePosixPath:
    """The part of a path that names a partition."""
    return PurePosixPath(
        partition.connection,
        partition.topic,
        f"i{partition.incarnation}",
        f"partition={partition.partition}",
    )


def journal_path(partition: PartitionId, base_offset: int) -> PurePosixPath:
    """Of the journal that begins at ``base_offset``, relative to the store."""
    return JOURNAL / partition_directory(partition) / f"{base_offset:020d}{JOURNAL_SUFFIX}"


def new_segment_path(partition: PartitionId, base_offset: int, end_offset: int) -> PurePosixPath:
    """A path that no segment has had before, relative to the store."""
    return LOG / partition_directory(partition) / _data_file_name(base_offset, end_offset)


def new_rejects_path(partition: PartitionId, base_offset: int, end_offset: int) -> PurePosixPath:
    """A path that no file of rejects has had before, relative to the store."""
    return REJECTS / partition_directory(partition) / _data_file_name(base_offset, end_offset)


def _data_file_name(base_offset: int, end_offset: int) -> str:
    return f"{base_offset:020d}-{end_offset:020d}-{secrets.token_hex(4)}.parquet"


def find_journals(store: Path) -> dict[PartitionId, list[Path]]:
    """The journal files of each partition, in offset order, as absolute paths."""
    found: dict[PartitionId, list[Path]] = {}
    root = store / JOURNAL
    for path in sorted(root.glob(f"*/*/i*/partition=*/*{JOURNAL_SUFFIX}")):
        match = _PARTITION_PATH.fullmatch(path.parent.relative_to(root).as_posix())
        if match is None or not path.stem.isdigit():
            continue
        partition = PartitionId(match["c"], match["t"], int(match["i"]), int(match["p"]))
        found.setdefault(partition, []).append(path)
    return found
