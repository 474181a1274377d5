"""What a store holds when a service opens it, after whatever ended the last one.

Rules, per partition, with E = the end of what the manifest covers:

* A journal that begins before E is sealed already; it stays as a warm journal.
* The journal that begins at E, and those that continue it, are read and checked. What lies behind
  the first damaged or cut-off frame of one is moved to the quarantine. If it was the last one, the
  log ends there, and the reader mines the rest again. If not, there is a missing range up to the
  next one: what is before becomes a lower range (``coverage_ranges``), and what is missing is mined
  afterwards.
* A journal that overlaps the log is moved to the quarantine.

The manifest may have missing ranges too: what lies before one is a lower range. A journal of a
lower range continues one, or is one by itself, and is sealed now.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cachesvc.errors import DamagedFile, PreconditionFailed, ShuttingDown
from cachesvc.log.coverage_ranges import contiguous, sealed_range
from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId, Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store import layout
from cachesvc.store.catalogues import was_changed
from cachesvc.store.journal import JournalFile, JournalIndex
from cachesvc.store.open_files import OpenFiles

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """The logs of one partition.

    Attributes:
        top: The one that grows with the source. Its last journal takes appends; others that are
            not sealed have ``file is None and not sealed`` and wait for it.
        lower: Those below it, in offset order.
        damaged: What was found missing for damage.
    """

    top: PartitionLog
    lower: list[PartitionLog]
    damaged: list[OffsetRange]


def check_wanted(given_up: Callable[[], bool]) -> None:
    """Lets recovery go on unless it was given up; between two partitions that harms nothing.

    Raises:
        ShuttingDown: It was.
    """
    if given_up():
        raise ShuttingDown("the service was told to end before its store was open")


def check_not_lost(path: Path) -> None:
    """Refuses to begin an empty catalogue beside segments, which would not be in it.

    Raises:
        DamagedFile: The catalogue is gone, and what it listed is there.
        PreconditionFailed: A backup was being restored there, and that has not ended.
    """
    if (path / layout.RESTORING).exists():
        raise PreconditionFailed(
            f"a backup was being restored to {path}, which has not ended: begin `cachesvc store "
            "restore` again",
            reason="STORE_UNUSABLE",
            metadata={"path": path},
        )
    if (path / layout.CATALOGUE).exists():
        return
    copied = any((path / name).exists() for name in layout.CATALOGUE_COPIES)
    if copied or was_changed(path) or any((path / layout.LOG).rglob("*.parquet")):
        raise DamagedFile(
            f"{path / layout.CATALOGUE} is gone, and what it listed is there; `cachesvc store "
            "rebuild` makes it anew from the store's files",
            metadata={"path": path / layout.CATALOGUE},
        )


def recover_partition(
    store: Path,
    partition: PartitionId,
    log_start_offset: int,
    segments: Sequence[Segment],
    journals: Sequence[Path],
    backfills: Sequence[Path] = (),
    files: OpenFiles | None = None,
) -> Recovered:
    """The logs of one partition as its files say. Blocking; cuts torn and damaged ends.

    Args:
        store: The store's directory.
        partition: Which.
        log_start_offset: Of the top log, as the catalogue says.
        segments: Its part of the manifest, in offset order.
        journals: The journal files of its top log, in offset order.
        backfills: Those of its lower ranges, in offset order.
        files: Descriptors for the journal that takes appends.
    """
    runs = contiguous(segments)
    # Segments that end before the top log begins have a missing range behind them.
    top_run = runs.pop() if runs and runs[-1][-1].end_offset >= log_start_offset else []
    log = PartitionLog(partition, top_run[0].base_offset if top_run else log_start_offset)
    log.segments = top_run
    *cut_off, top = _recover_top(store, log, journals, files)
    lower = [*(sealed_range(partition, run) for run in runs), *cut_off]
    for path in backfills:
        _recover_backfill(store, lower, top, path)
    lower.sort(key=lambda each: each.log_start_offset)
    behind = [*cut_off[1:], top] if cut_off else []
    damaged = [
        OffsetRange(one.log_end_offset, other.log_start_offset)
        for one, other in zip(cut_off, behind, strict=True)
    ]
    return Recovered(top, [each for each in lower if not each.empty], damaged)


def _recover_backfill(
    store: Path, lower: list[PartitionLog], top: PartitionLog, path: Path
) -> None:
    """Enters a journal of a lower range, as far as it is whole and no segment has its records."""
    journal = _open(store, path, top.id)
    if journal is None:
        return
    base, end = journal.index.base_offset, journal.index.end_offset
    covered = any(log.log_start_offset <= base < log.log_end_offset for log in [*lower, top])
    if covered or base == end:
        path.unlink()
        return
    before = next((log for log in lower if log.log_end_offset == base), None)
    if before is None:
        before = PartitionLog(top.id, base)
        lower.append(before)
    before.journals.append(_entry(journal, None))
    before.log_end_offset = before.accepted_end_offset = end


def _recover_top(
    store: Path, log: PartitionLog, journals: Sequence[Path], files: OpenFiles | None
) -> list[PartitionLog]:
    """The log that the journals continue; several where damage cuts it, in offset order."""
    sealed_end = log.sealed_end_offset
    bases = [layout.base_offset(path) for path in journals]
    warm = [n for n, base in enumerate(bases) if base < sealed_end]
    for n in warm:
        end = min(bases[n + 1], sealed_end) if n + 1 < len(bases) else sealed_end
        if end > log.log_start_offset:
            log.journals.append(_warm_entry(journals[n], bases[n], end))
        else:
            journals[n].unlink()
    logs = [log]
    end = sealed_end
    opened: list[JournalFile] = []
    for path, base in list(zip(journals, bases, strict=True))[len(warm) :]:
        if base < end:
            _quarantine(store, path, f"begins at offset {base}, the log ends at {end}")
            continue
        journal = _open(store, path, log.id, files)
        if journal is None:
            continue
        if base > end:
            _cut_off(store, logs[-1], opened, end)
            logs.append(PartitionLog(log.id, base))
            opened = []
        opened.append(journal)
        end = journal.index.end_offset
    _enter(logs[-1], opened)
    logs[-1].log_end_offset = logs[-1].accepted_end_offset = end
    return logs


def _cut_off(store: Path, log: PartitionLog, opened: list[JournalFile], end: int) -> None:
    """Makes what is before a missing range a lower range, whose journals are called as such."""
    for journal in opened:
        if journal.index.end_offset == journal.index.base_offset:
            journal.path.unlink()
            continue
        path = store / layout.backfill_path(log.id, journal.index.base_offset)
        journal.path.rename(path)
        journal.path = path
        log.journals.append(_entry(journal, None))
    log.log_end_offset = log.accepted_end_offset = end


def _enter(log: PartitionLog, opened: list[JournalFile]) -> None:
    """Enters recovered journals; only the last may take appends.

    An empty one can only be the last. It goes, so that a log of which nothing is left counts as
    empty and may begin anywhere.
    """
    for journal in opened[:-1]:
        log.journals.append(_entry(journal, None))
    for journal in opened[-1:]:
        if journal.index.end_offset > journal.index.base_offset:
            log.journals.append(_entry(journal, journal))
        else:
            journal.path.unlink()


def _entry(journal: JournalFile, file: JournalFile | None) -> JournalEntry:
    index: JournalIndex = journal.index
    return JournalEntry(
        journal.path,
        index.base_offset,
        index.end_offset,
        index.file_bytes,
        journal.created_ms,
        index,
        file,
    )


def _warm_entry(path: Path, base_offset: int, end_offset: int) -> JournalEntry:
    status = path.stat()
    return JournalEntry(
        path, base_offset, end_offset, status.st_size, int(status.st_mtime * 1000), sealed=True
    )


def _open(
    store: Path, path: Path, partition: PartitionId, files: OpenFiles | None = None
) -> JournalFile | None:
    if not path.stat().st_size:
        path.unlink()  # the machine went down before anything of it reached the disk
        return None
    try:
        journal, damage = JournalFile.recover(path, partition, files)
        if journal.index.base_offset != layout.base_offset(path):
            raise DamagedFile(f"{path} begins at offset {journal.index.base_offset}")
    except DamagedFile as error:
        _quarantine(store, path, str(error))
        return None
    if damage is not None:
        tail = journal.cut()
        kept = _keep(store, path, tail)
        _log.warning(
            "cut the damaged end of a journal; the reader mines it again",
            extra={
                "event": "journal_cut",
                "journal": str(path),
                "at_offset": journal.index.end_offset,
                "bytes_cut": len(tail),
                "kept_as": str(kept or ""),
                "error": str(damage),
            },
        )
    return journal


def _keep(store: Path, path: Path, tail: bytes) -> Path | None:
    """Keeps what was cut off a journal for a look; None where the disk has no room for it.

    A start does not depend on it: a disk that was full leaves both, a torn end and no room.
    """
    try:
        kept = layout.quarantine_path(store, path, time.time_ns())
        try:
            kept.write_bytes(tail)
        except OSError:
            kept.unlink(missing_ok=True)
            raise
    except OSError:
        return None
    return kept


def _quarantine(store: Path, path: Path, why: str) -> None:
    kept = layout.quarantine_path(store, path, time.time_ns())
    path.rename(kept)
    _log.warning(
        "moved a journal that does not fit to the quarantine; the reader mines its range again",
        extra={
            "event": "journal_quarantined",
            "journal": str(path),
            "kept_as": str(kept),
            "error": why,
        },
    )
