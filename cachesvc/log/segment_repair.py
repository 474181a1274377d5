"""Takes damaged segments out while the service runs, and has what they had mined again.

What of a segment is whole stays, in segments of its own; a journal that it was sealed from, and
that is still there, makes it whole again. The rest becomes a missing range, wanted whether somebody
reads there or not (``mending``). The damaged file goes to the quarantine.

Whoever comes upon the damage waits for one repair, which nobody's going away interrupts.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from cachesvc.errors import PreconditionFailed, StoreUnwritable
from cachesvc.log.builds import Builds
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.coverage_ranges import CoverageRanges
from cachesvc.log.manifest import Manifest
from cachesvc.log.mending import Mending
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.stores import Stores
from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store import layout
from cachesvc.store.salvage import Salvaged, salvage_segment, seal_again
from cachesvc.store.segments import data_paths, delete_files

_log = logging.getLogger(__name__)


class SegmentRepair:
    """Repairs one segment after the other. Belongs to one event loop; ``run`` has to run.

    Args:
        stores: Where segments lie.
        manifest: Says which segments are live.
        catalogue: Says which files have to be deleted.
        builds: Is told while files are being written.
        executor: Runs file I/O, decoding and encoding.
        ranges: All logs.
        mending: Has what is missing mined again.
    """

    def __init__(
        self,
        stores: Stores,
        manifest: Manifest,
        catalogue: CatalogueThread,
        builds: Builds,
        executor: Executor,
        ranges: CoverageRanges,
        mending: Mending,
    ) -> None:
        self._stores = stores
        self._manifest = manifest
        self._catalogue = catalogue
        self._builds = builds
        self._executor = executor
        self._ranges = ranges
        self._mending = mending
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._queue: asyncio.Queue[tuple[PartitionLog, Segment]] = asyncio.Queue()

    async def mend(self, log: PartitionLog, segment: Segment) -> bool:
        """Has a segment taken out if it is damaged. Cancel-safe: the repair goes on.

        Returns:
            Whether what it had lies elsewhere now, or soon will; False where nothing is wrong with
            its files.

        Raises:
            StoreUnwritable: The disk does not take what is whole; all is as before.
        """
        asked = self._asked.get(segment.path)
        if asked is None:
            asked = self._asked[segment.path] = asyncio.get_running_loop().create_future()
            self._queue.put_nowait((log, segment))
        return await asyncio.shield(asked)

    async def run(self) -> None:
        """Repairs until cancelled; what was under way is as it was before, or done."""
        while True:
            log, segment = await self._queue.get()
            answer = self._asked[segment.path]
            try:
                answer.set_result(await self._repair(log, segment))
            except (OSError, PreconditionFailed) as error:
                text = f"{segment.path} is damaged and cannot be replaced for now: {error}"
                answer.set_exception(StoreUnwritable(text))
                answer.exception()  # whoever asked may have gone away
            finally:
                del self._asked[segment.path]

    async def _repair(self, log: PartitionLog, segment: Segment) -> bool:
        if all(each.path != segment.path for each in log.current.segments):
            return True  # merged, expired or repaired meanwhile
        loop = asyncio.get_running_loop()
        sealed_from = [
            entry.path
            for entry in log.current.journals
            if entry.sealed
            and (entry.base_offset, entry.end_offset) == (segment.base_offset, segment.end_offset)
        ]
        # What lies in a place that is not mounted is not gone.
        there = partial(self._stores.check_there, segment.store, marked=True)
        await loop.run_in_executor(self._executor, there)
        at_hand = self._stores.at_hand([segment], segment.store, missing_ok=True)
        with self._builds.under_way():
            async with at_hand as directory:
                found = await loop.run_in_executor(
                    self._executor, _salvage, directory, segment, sealed_from
                )
                if not found.damage:
                    return False
                return await self._replace(log, segment, found, directory)

    async def _replace(
        self, log: PartitionLog, segment: Segment, found: Salvaged, directory: Path
    ) -> bool:
        """Puts what is whole in the place of a segment whose files are in a directory."""
        loop = asyncio.get_running_loop()
        whole = [
            await self._stores.publish(each, directory, segment.store) for each in found.segments
        ]
        missing = found.missing(segment)
        cut = await self._manifest.take_out(log, segment, whole, missing)
        if cut is None:
            await loop.run_in_executor(self._executor, _discard, directory, found)
            return True
        gone = OffsetRange(segment.base_offset, segment.end_offset)
        self._ranges.cut(cut, gone, whole)
        for each in missing:
            self._mending.note(segment.partition, each)
        self._mending.damages.note(segment.partition, segment.path, found.damage, missing)
        self._tell(segment, found, missing)
        store = self._stores.path
        await loop.run_in_executor(self._executor, _set_aside, store, directory, segment)
        if segment.store == LOCAL_STORE:  # elsewhere it is a copy that was set aside
            names = [path.as_posix() for path in data_paths(segment)]
            await self._catalogue.call(lambda port: port.forget_retired(names))
        return True

    def _tell(self, segment: Segment, found: Salvaged, missing: Sequence[OffsetRange]) -> None:
        _log.error(
            "a segment is damaged; what it had is mined again"
            if missing
            else "a segment is damaged; its records are whole elsewhere",
            extra={
                "event": "segment_damaged",
                "topic": segment.partition.topic,
                "partition": segment.partition.partition,
                "segment": segment.path,
                "error": found.damage,
                "lost": ", ".join(map(str, missing)),
                "rejects_lost": found.rejects_lost,
            },
        )


def _salvage(store: Path, segment: Segment, sealed_from: list[Path]) -> Salvaged:
    now_ms = time.time_ns() // 1_000_000
    found = salvage_segment(store, segment, now_ms)
    if not found.damage:
        return found
    for journal in sealed_from:
        anew = seal_again(store, segment, journal, now_ms)
        if anew is not None:
            _discard(store, found)
            return Salvaged((anew,), found.damage)
    return found


def _discard(store: Path, found: Salvaged) -> None:
    for segment in found.segments:
        delete_files(store, segment)


def _set_aside(store: Path, directory: Path, segment: Segment) -> None:
    for path in data_paths(segment):
        with contextlib.suppress(OSError):  # gone, or left to the sweep
            kept = layout.quarantine_path(store, store / path, time.time_ns())
            (directory / path).rename(kept)
