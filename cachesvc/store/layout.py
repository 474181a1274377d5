"""Where things lie in a store directory.

    <store>/LOCK                                       held by the service that owns the store
    <store>/catalogue.duckdb                           manifest, subscriptions, job history
    <store>/catalogue.duckdb.positions                 commits that are not in it yet
    <store>/catalogue.duckdb.changes-<number>          what was changed in it behind its copies
    <store>/catalogue-copy.duckdb                      what was in it a while ago; -before: earlier
    <store>/log/<connection>/<topic>/i<incarnation>/partition=<n>/<base>-<end>-<token>-<crc>.parquet
    <store>/rejects/…                                  same tree: records turned away
    <store>/snapshots/…                                same tree: the latest record per key
    <store>/journal/<connection>/<topic>/i<incarnation>/partition=<n>/<base>.journal
    <store>/journal/…/<base>-<token>.backfill          of older ranges, which are mined afterwards
    <store>/readers/<name>.box                         what a local reader is working on
    <store>/queries/<token>/…                          links to what a running query reads
    <store>/quarantine/…                               damaged pieces, kept for a look
    <store>/backup/…                                   links, while a backup is made
    <store>/restoring/…                                a backup, until all of it is there
    <store>/staging/…                                  files on their way to other stores
    <store>/cache/<name>/…                             blocks of files in the store of that name
    <store>/ID                                         says to other stores whose they are

A store elsewhere has log/, rejects/ and snapshots/ alike, and a file OWNER with the ID of its
service.

Offsets in file names have 20 digits, so that names sort as offsets do. A token makes every file
name new: a file that exists is never written again, and a merge never meets its own sources. The
checksum is that of a Parquet file's footer, the one part of it that has none inside.
"""

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cachesvc.model import PartitionId

CATALOGUE = "catalogue.duckdb"
CATALOGUE_COPIES = ("catalogue-copy.duckdb", "catalogue-copy-before.duckdb")
"""The newest first."""
POSITIONS_SUFFIX = ".positions"
CHANGES_INFIX = ".changes-"
CATALOGUE_COPY_NEW = "catalogue-copy-new.duckdb"
LOCK = "LOCK"
LOG = "log"
REJECTS = "rejects"
SNAPSHOTS = "snapshots"
JOURNAL = "journal"
QUARANTINE = "quarantine"
BACKUP = "backup"
RESTORING = "restoring"
READERS = "readers"
QUERIES = "queries"
STAGING = "staging"
CACHE = "cache"
STORE_ID = "ID"
OWNER = "OWNER"
JOURNAL_SUFFIX = ".journal"
BACKFILL_SUFFIX = ".backfill"
TEMPORARY_SUFFIX = ".tmp"

_CHECKED_NAME = re.compile(r"\d{20}-\d{20}-[0-9a-f]{8}-(?P<crc>[0-9a-f]{8})\.parquet")
_PARTITION_PATH = re.compile(r"(?P<c>[^/]+)/(?P<t>[^/]+)/i(?P<i>\d+)/partition=(?P<p>\d+)")


def partition_directory(partition: PartitionId) -> PurePosixPath:
    """The part of a path that names a partition."""
    return PurePosixPath(
        partition.connection,
        partition.topic,
        f"i{partition.incarnation}",
        f"partition={partition.partition}",
    )


def partition_of(directory: str) -> PartitionId | None:
    """The partition that a part of a path names; None if it is not such a part."""
    match = _PARTITION_PATH.fullmatch(directory)
    if match is None:
        return None
    return PartitionId(match["c"], match["t"], int(match["i"]), int(match["p"]))


def journal_path(partition: PartitionId, base_offset: int) -> PurePosixPath:
    """Of the journal that begins at ``base_offset``, relative to the store."""
    return JOURNAL / partition_directory(partition) / f"{base_offset:020d}{JOURNAL_SUFFIX}"


def backfill_path(partition: PartitionId, base_offset: int) -> PurePosixPath:
    """Of a new journal of a range below the log, relative to the store; no file had it before."""
    name = f"{base_offset:020d}-{secrets.token_hex(4)}{BACKFILL_SUFFIX}"
    return JOURNAL / partition_directory(partition) / name


def black_box_path(reader: str) -> PurePosixPath:
    """Where a local reader notes what it is working on, relative to the store."""
    return PurePosixPath(READERS, f"{reader}.box")


def base_offset(journal: Path) -> int:
    """The offset at which a journal begins, as its name says."""
    return int(journal.stem.partition("-")[0])


def segment_directory(partition: PartitionId) -> PurePosixPath:
    """Of a partition's segments, relative to the store."""
    return LOG / partition_directory(partition)


def rejects_directory(partition: PartitionId) -> PurePosixPath:
    """Of a partition's files of rejects, relative to the store."""
    return REJECTS / partition_directory(partition)


def snapshots_directory(partition: PartitionId) -> PurePosixPath:
    """Of a partition's snapshots, relative to the store."""
    return SNAPSHOTS / partition_directory(partition)


def new_file_stem(base_offset: int, end_offset: int) -> str:
    """The begin of a data file's name, which no file has had before."""
    return f"{base_offset:020d}-{end_offset:020d}-{secrets.token_hex(4)}"


def data_file_name(stem: str, footer_checksum: int) -> str:
    """The name of a data file whose footer has this checksum."""
    return f"{stem}-{footer_checksum:08x}.parquet"


def footer_checksum(name: str) -> int | None:
    """The checksum that a data file's name tells; None where it is not such a name."""
    match = _CHECKED_NAME.fullmatch(name)
    return int(match["crc"], 16) if match else None


def quarantine_path(store: Path, path: Path, now_ns: int) -> Path:
    """Where a damaged file of a store is kept for a look; makes the directory. Blocking."""
    directory = store / QUARANTINE / path.parent.relative_to(store)
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{path.name}.{now_ns}"


@dataclass(slots=True)
class FoundJournals:
    """The journal files of one partition, in offset order, as absolute paths.

    Attributes:
        top: Of its log.
        backfills: Of older ranges.
    """

    top: list[Path] = field(default_factory=list)
    backfills: list[Path] = field(default_factory=list)


def find_journals(store: Path) -> dict[PartitionId, FoundJournals]:
    """The journal files of each partition that has any."""
    root = (store / JOURNAL).as_posix()
    found: dict[PartitionId, FoundJournals] = {}
    for directory, _, names in os.walk(root):
        partition = partition_of(directory[len(root) + 1 :]) if names else None
        if partition is None:
            continue
        of = FoundJournals()
        for name in sorted(names):
            stem, dot, suffix = name.rpartition(".")
            kept = {JOURNAL_SUFFIX: of.top, BACKFILL_SUFFIX: of.backfills}.get(dot + suffix)
            if kept is not None and stem.partition("-")[0].isdigit():
                kept.append(Path(directory, name))
        if of.top or of.backfills:
            found[partition] = of
    return found
