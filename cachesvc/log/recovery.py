"""What a store holds when a service opens it, after whatever ended the last one.

Rules, per partition, with E = the end of what the manifest covers:

* A journal that begins before E is sealed already; it stays as a warm journal.
* The journal that begins at E, and those that continue it, are read and checked. The first damaged
  or cut-off frame ends the log: what lies behind it is moved to the quarantine and the reader mines
  it again from the source.
* A journal that does not continue the log is moved to the quarantine.

The manifest may have holes: what lies before one is a lower stretch (``stretches``). A journal of a
lower stretch continues one, or is one by itself, and is sealed now.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from cachesvc.errors import DamagedFile
from cachesvc.log.partition_log import JournalEntry, PartitionLog
from cachesvc.model import PartitionId, Segment
from cachesvc.store import layout
from cachesvc.store.journal import JournalFile, JournalIndex

_log = logging.getLogger(__name__)


def recover_partition(
    store: Path,
    partition: PartitionId,
    log_start_offset: int,
    segments: Sequence[Segment],
    journals: Sequence[Path],
    backfills: Sequence[Path] = (),
) -> tuple[PartitionLog, list[PartitionLog]]:
    """The logs of one partition as its files say. Blocking; cuts a torn tail.

    Args:
        store: The store's directory.
        partition: Which.
        log_start_offset: Of the top log, as the catalogue says.
        segments: Its part of the manifest, in offset order.
        journals: The journal files of its top log, in offset order.
        backfills: Those of its lower stretches, in offset order.

    Returns:
        The top log, and the lower stretches in offset order. The top one's last journal takes
        appends; others that are not sealed have ``file is None and not sealed`` and wait for it.
    """
    runs = _contiguous(segments)
    # Segments that end before the top log begins have a hole behind them.
    top_run = runs.pop() if runs and runs[-1][-1].end_offset >= log_start_offset else []
    start = top_run[0].base_offset if top_run else log_start_offset
    top = _recover_top(store, PartitionLog(partition, start), top_run, journals)
    lower = [_sealed_stretch(partition, run) for run in runs]
    for path in backfills:
        _recover_backfill(store, lower, top, path)
    return top, sorted(lower, key=lambda log: log.log_start_offset)


def _contiguous(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Segments in offset order, cut where something is missing between two."""
    runs: list[list[Segment]] = []
    for segment in segments:
        if runs and runs[-1][-1].end_offset == segment.base_offset:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return runs


def _sealed_stretch(partition: PartitionId, run: list[Segment]) -> PartitionLog:
    log = PartitionLog(partition, run[0].base_offset)
    log.segments = run
    log.log_end_offset = log.accepted_end_offset = log.sealed_end_offset
    return log


def _recover_backfill(
    store: Path, lower: list[PartitionLog], top: PartitionLog, path: Path
) -> None:
    """Enters a journal of a lower stretch, as far as it is whole and no segment has its records."""
    journal = _open(store, path, top.id)
    if journal is None:
        return
    journal.close()
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
    store: Path, log: PartitionLog, segments: list[Segment], journals: Sequence[Path]
) -> PartitionLog:
    log.segments = segments
    sealed_end = log.sealed_end_offset
    bases = [layout.base_offset(path) for path in journals]
    warm = [n for n, base in enumerate(bases) if base < sealed_end]
    for n in warm:
        end = min(bases[n + 1], sealed_end) if n + 1 < len(bases) else sealed_end
        if end > log.log_start_offset:
            log.journals.append(_warm_entry(journals[n], bases[n], end))
        else:
            journals[n].unlink()
    end = sealed_end
    opened: list[JournalFile] = []
    for path, base in list(zip(journals, bases, strict=True))[len(warm) :]:
        if base != end:
            _quarantine(store, path, f"begins at offset {base}, the log ends at {end}")
            continue
        journal = _open(store, path, log.id)
        if journal is not None:
            opened.append(journal)
            end = journal.index.end_offset
    _enter(log, opened)
    log.log_end_offset = log.accepted_end_offset = end
    return log


def _enter(log: PartitionLog, opened: list[JournalFile]) -> None:
    """Enters recovered journals; only the last may take appends.

    An empty one can only be the last. It goes, so that a log of which nothing is left counts as
    empty and may begin anywhere.
    """
    for journal in opened[:-1]:
        journal.close()
        log.journals.append(_entry(journal, None))
    for journal in opened[-1:]:
        if journal.index.end_offset > journal.index.base_offset:
            log.journals.append(_entry(journal, journal))
        else:
            journal.close()
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


def _open(store: Path, path: Path, partition: PartitionId) -> JournalFile | None:
    try:
        journal, damage = JournalFile.recover(path, partition)
        if journal.index.base_offset != layout.base_offset(path):
            journal.close()
            raise DamagedFile(f"{path} begins at offset {journal.index.base_offset}")
    except DamagedFile as error:
        _quarantine(store, path, str(error))
        return None
    if damage is not None:
        tail = journal.cut()
        kept = _quarantine_path(store, path)
        kept.write_bytes(tail)
        _log.warning(
            "cut the damaged end of a journal; the reader mines it again",
            extra={
                "event": "journal_cut",
                "journal": str(path),
                "at_offset": journal.index.end_offset,
                "bytes_cut": len(tail),
                "kept_as": str(kept),
                "error": str(damage),
            },
        )
    return journal


def _quarantine(store: Path, path: Path, why: str) -> None:
    kept = _quarantine_path(store, path)
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


def _quarantine_path(store: Path, path: Path) -> Path:
    directory = store / layout.QUARANTINE / path.parent.relative_to(store)
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{path.name}.{time.time_ns()}"
