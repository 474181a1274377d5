"""Makes a damaged or lost catalogue anew: from a copy, from what was changed since, from the files.

What is small and durable (subscriptions and their positions, mining tasks, connections, tokens,
alarms, job history) comes from the newest copy that can be read and from the changes that were
noted behind it, up to the last one that anybody was told of. Where those are not all there, it is
as old as what is: tasks get again what they committed since, and no token that was made over Admin
opens anything, for it may have been revoked. Which segments are live, the files themselves say. The
damaged catalogue goes to the quarantine, and so does a copy that cannot be read.
"""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cachesvc.errors import PreconditionFailed, StoreUnreadable, StoreUnwritable
from cachesvc.log.store_lock import lock_directory
from cachesvc.log.stores import owner_of
from cachesvc.model import LOCAL_STORE, PartitionId, Segment, Snapshot
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.rebuilding import damaged_ranges, live_segments
from cachesvc.store import layout
from cachesvc.store.catalogues import catch_up, forget_all_changes, is_readable, open_copy
from cachesvc.store.file_store import FileStore
from cachesvc.store.found_segments import FoundSegments, find_segments
from cachesvc.store.journal import sync_directory
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.ports import Catalogue, SubscriptionChange
from cachesvc.store.snapshot_file import find_snapshots
from cachesvc.store.stores_port import StoreRecord

# More than can have been given out between two copies.
_EPOCHS_SKIPPED = 1_000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found.

    Attributes:
        copied_ms: When the copy was written that it began from; None if there was none.
        changes: How many were noted behind the copy, and are made again.
        changes_whole: Whether these were all, as far as files can tell.
        tokens_revoked: How many are, for changes are missing.
        subscriptions: How many have come back, with their positions.
        segments: Live ones now.
        segments_found: Those of them that the copy did not know.
        segments_missing: Which the copy knew, and whose files are gone or no segments any more.
        kept_as: Where the damaged catalogue is; None if there was none.
        stores_away: Those with segments that could not be looked into; of these the copy alone
            tells.
    """

    copied_ms: int | None
    changes: int
    changes_whole: bool
    tokens_revoked: int
    subscriptions: int
    segments: int
    segments_found: int
    segments_missing: int
    kept_as: Path | None
    stores_away: tuple[str, ...] = ()


OpenStores = Callable[[Sequence[StoreRecord]], Mapping[str, FileStore]]


def rebuild(path: Path, open_stores: OpenStores = lambda _: {}) -> Rebuilt:
    """Rebuilds the catalogue of a store that no service runs on. Blocking.

    Args:
        path: The service's own directory.
        open_stores: Opens the other stores, given those that the copy knows to be made over Admin.

    Raises:
        StoreLocked: A service runs on it.
        PreconditionFailed: There is nothing to rebuild: no store, or a catalogue that can be read.
        StoreUnwritable: The disk does not take it; the next rebuild begins again.
    """
    if not path.is_dir():
        raise PreconditionFailed(f"there is no store in {path}", reason="STORE_UNUSABLE")
    try:
        return _rebuild(path, open_stores)
    except OSError as error:
        raise StoreUnwritable(f"the catalogue in {path} cannot be rebuilt: {error}") from error


def _rebuild(path: Path, open_stores: OpenStores) -> Rebuilt:
    with lock_directory(path):
        catalogue = path / layout.CATALOGUE
        if catalogue.exists() and is_readable(catalogue):
            raise PreconditionFailed(
                f"{catalogue} can be read whole; there is nothing to rebuild",
                reason="NOTHING_TO_REBUILD",
            )
        new = path / layout.CATALOGUE_COPY_NEW
        copied_ms = _begin(path, new)
        repeated = catch_up(path, new)
        with closing(open_copy(new)) as port:
            revoked = 0 if repeated.whole else _revoke_tokens(port)
            stores = {LOCAL_STORE: LocalFiles(path), **open_stores(port.stores.list_made())}
            files, snapshots, asked = _look_into(path, stores)
            used = {segment.store for segment in port.list_segments()}
            used |= {snapshot.file.store for snapshot in port.snapshots.list()}
            away = tuple(name for name in stores if name not in asked and name in used)
            added, removed = _enter_segments(files, port, asked)
            _enter_snapshots(snapshots, port, asked)
            subscriptions = _skip_epochs(port)
            segments = len(port.list_segments())
        kept_as = _set_aside(path, catalogue)
        new.rename(catalogue)
        sync_directory(path)
        with suppress(OSError):  # then a rebuild of this one has less to begin from
            _copy_anew(path)
    return Rebuilt(
        copied_ms,
        repeated.changes,
        repeated.whole,
        revoked,
        subscriptions,
        segments,
        added,
        removed,
        kept_as,
        away,
    )


def _begin(path: Path, new: Path) -> int | None:
    """Puts the newest copy that can be read where the new catalogue is made; when it is from."""
    for each in (new, _log_of(new)):
        each.unlink(missing_ok=True)
    for name in layout.CATALOGUE_COPIES:
        copy = path / name
        if not copy.exists():
            continue
        shutil.copyfile(copy, new)
        if is_readable(new):
            return copy.stat().st_mtime_ns // 1_000_000
        _set_aside(path, copy)
        for each in (new, _log_of(new)):
            each.unlink(missing_ok=True)
    return None


def _look_into(
    path: Path, stores: Mapping[str, FileStore]
) -> tuple[FoundSegments, list[Snapshot], set[str]]:
    """What the files of stores say, and which were asked: that answer and are this service's."""
    own = path / layout.STORE_ID
    own_id = own.read_text().strip() if own.exists() else ""
    found, asked = FoundSegments([], {}), set()
    snapshots: list[Snapshot] = []
    for name, files in stores.items():
        with suppress(StoreUnreadable):
            if name == LOCAL_STORE or (own_id and owner_of(files) == own_id):
                each, of_latest = find_segments(files, name), find_snapshots(files, name)
                snapshots.extend(of_latest)
                found.segments.extend(each.segments)
                found.damaged.update(each.damaged)
                asked.add(name)
    return found, snapshots, asked


def _enter_segments(files: FoundSegments, port: Catalogue, asked: set[str]) -> tuple[int, int]:
    """Makes the manifest what the files say; how many segments came, and how many went.

    Of what lies in stores that were not asked the copy alone tells.
    """
    found: defaultdict[PartitionId, list[Segment]] = defaultdict(list)
    for segment in files.segments:
        found[segment.partition].append(segment)
    broken: defaultdict[PartitionId, list[OffsetRange]] = defaultdict(list)
    known: defaultdict[PartitionId, list[Segment]] = defaultdict(list)
    for segment in port.list_segments():
        known[segment.partition].append(segment)
    retired = port.list_retired()
    for file, (partition, covered) in files.damaged.items():
        if file not in retired:
            broken[partition].append(covered)
    added: list[Segment] = []
    removed: list[Segment] = []
    damaged: dict[PartitionId, list[OffsetRange]] = {}
    for partition in sorted({*found, *known, *broken}):
        before = known[partition]
        found[partition] += [each for each in before if each.store not in asked]
        there = {segment.path for segment in found[partition]}
        present = [segment for segment in before if segment.path in there]
        live = live_segments(present, found[partition], retired)
        added += _without(live, before)
        gone = _without(before, live)
        removed += gone
        lost = [*broken[partition], *(OffsetRange(s.base_offset, s.end_offset) for s in gone)]
        damaged[partition] = damaged_ranges(live, broken[partition], lost)
    now_ms = time.time_ns() // 1_000_000
    port.replace_segments(removed, added, now_ms)
    port.forget_retired([segment.path for segment in added])
    for partition, ranges in damaged.items():
        if ranges:
            port.put_damaged(partition, ranges, [], {partition: ranges[-1].end}, now_ms)
    return len(added), len(removed)


def _enter_snapshots(snapshots: Sequence[Snapshot], port: Catalogue, asked: set[str]) -> None:
    """Makes the list of snapshots what the files say, but for those that were retired.

    Of what lies in stores that were not asked the copy alone tells.
    """
    known, retired = port.snapshots.list(), port.list_retired()
    found = {each.file.path for each in snapshots}
    gone = [each for each in known if each.file.store in asked and each.file.path not in found]
    there = {each.file.path for each in known} | retired.keys()
    new = [each for each in snapshots if each.file.path not in there]
    port.snapshots.replace(gone, new, time.time_ns() // 1_000_000)


def _revoke_tokens(port: Catalogue) -> int:
    """Has no token that was made over Admin open anything; of how many that is new."""
    now_ms = time.time_ns() // 1_000_000
    valid = [each for each in port.access.list_tokens() if each.revoked_ms is None]
    for record in valid:
        port.access.put_token(replace(record, revoked_ms=now_ms))
    return len(valid)


def _copy_anew(path: Path) -> None:
    """Makes a copy of what was rebuilt, so that nothing is needed of what was before."""
    new, newest = path / layout.CATALOGUE_COPY_NEW, path / layout.CATALOGUE_COPIES[0]
    shutil.copyfile(path / layout.CATALOGUE, new)
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.rename(newest)
    sync_directory(path)
    forget_all_changes(path)


def _without(segments: Iterable[Segment], others: Iterable[Segment]) -> list[Segment]:
    paths = {segment.path for segment in others}
    return [segment for segment in segments if segment.path not in paths]


def _skip_epochs(port: Catalogue) -> int:
    """Puts every subscription beyond epochs that were given out since the copy; how many."""
    records = port.list_subscriptions()
    port.put_subscriptions(
        [
            SubscriptionChange(replace(record, epoch=record.epoch + _EPOCHS_SKIPPED))
            for record in records
        ]
    )
    return len(records)


def _set_aside(path: Path, catalogue: Path) -> Path | None:
    """Moves a catalogue to the quarantine, with its log; where it is then."""
    now_ns = time.time_ns()
    kept_as = None
    for each in (_log_of(catalogue), catalogue):
        if each.exists():
            kept_as = layout.quarantine_path(path, each, now_ns)
            os.replace(each, kept_as)
    return kept_as


def _log_of(catalogue: Path) -> Path:
    return catalogue.with_name(catalogue.name + ".wal")
