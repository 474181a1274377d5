"""Partitions that are blocked, and those at which readers have died; durable.

``policy.blocking`` decides; this keeps what is known, tells it to the catalogue, and has partitions
tried again when their time has come or an operator says so. What readers report is written soon
after: if it is lost, they report it again. Deaths are durable before the next reader learns what to
mine.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from cachesvc.errors import NotFound, PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import PartitionId, TopicId
from cachesvc.policy.blocking import Blockage, Trouble, after_death, after_report, tried

_log = logging.getLogger(__name__)
_LOOK_S = 1.0


class BlockedPartitions:
    """All troubles of a store. Belongs to one event loop; ``run`` has to run.

    Args:
        catalogue: Where they are durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._troubles = catalogue.call_blocking(lambda port: port.troubles.list())
        self._attempts: dict[PartitionId, int] = {}
        self._unwritten: set[PartitionId] = set()
        self._writing = asyncio.Lock()
        self.on_change: Callable[[], None] = lambda: None
        """Called when what readers are to have may have changed."""
        self.mined: Callable[[PartitionId, int], bool] = lambda partition, offset: False
        """Whether a partition has been mined behind an offset."""

    # How things are

    def of(self, partition: PartitionId) -> Trouble | None:
        """Why a partition is blocked; None if it is not."""
        trouble = self._troubles.get(partition)
        return trouble if trouble is not None and trouble.blocked else None

    def all(self, connection: str = "", topic: str = "") -> list[tuple[PartitionId, Trouble]]:
        """The blocked partitions of a connection and a topic, or of all, in order."""
        return [
            (partition, trouble)
            for partition, trouble in sorted(self._troubles.items(), key=lambda item: item[0])
            if trouble.blocked
            and connection in ("", partition.connection)
            and topic in ("", partition.topic)
        ]

    def withheld(self, partition: PartitionId) -> str:
        """Why no reader is to have a partition; empty if one may."""
        trouble = self._troubles.get(partition)
        if trouble is None or not trouble.withheld:
            return ""
        return trouble.blockage.told(partition.topic, partition.partition)

    def allowed(self, topic: TopicId, numbers: Iterable[int]) -> tuple[int, ...]:
        """Those of a topic's partitions that a reader may have."""
        if not self._troubles:
            return tuple(numbers)
        return tuple(each for each in numbers if not self.withheld(topic.partition(each)))

    def attempts(self, topic: TopicId, numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """How often each partition was tried again since the start, for those that were."""
        if not self._attempts:
            return ()
        found = ((each, self._attempts.get(topic.partition(each), 0)) for each in numbers)
        return tuple((number, attempt) for number, attempt in found if attempt)

    # What readers say

    def died(
        self, partition: PartitionId, offset: int, end: int, size: int, *, alone: bool
    ) -> None:
        """A reader has died while it was working on a partition. Write it with ``write``."""
        before = self._troubles.get(partition)
        trouble = after_death(before, (offset, end), size, _now_ms(), alone=alone)
        self._set(partition, trouble)
        _log.warning(
            "a reader died while it was working on a partition",
            extra={
                "event": "partition_blocked" if trouble.blocked else "reader_died_at",
                **_fields(partition, trouble.blockage),
                "deaths": trouble.deaths,
            },
        )

    def stopped(self, partition: PartitionId, blockage: Blockage) -> None:
        """A reader has stopped a partition."""
        before = self._troubles.get(partition)
        trouble = after_report(before, blockage, _now_ms())
        if trouble != before:
            self._set(partition, trouble)

    def known(self, partition: PartitionId) -> int | None:
        """The last offset at which a partition may be in trouble; None if it is not."""
        trouble = self._troubles.get(partition)
        return None if trouble is None else trouble.last_offset

    def passed(self, partition: PartitionId) -> None:
        """A partition has got on behind its trouble. Idempotent."""
        if self._troubles.pop(partition, None) is not None:
            self._unwritten.add(partition)
            _log.info(
                "a partition has got on",
                extra={
                    "event": "partition_passed",
                    "topic": partition.topic,
                    "partition": partition.partition,
                },
            )

    # Trying again

    async def retry(
        self, connection: str, topic: str, number: int | None
    ) -> Sequence[tuple[PartitionId, Trouble]]:
        """Has blocked partitions of a topic tried again; those, as they were.

        Raises:
            NotFound: None of them is blocked (``PARTITION_NOT_BLOCKED``).
        """
        found = [
            (partition, trouble)
            for partition, trouble in self.all(connection, topic)
            if number in (None, partition.partition)
        ]
        if not found:
            which = f"topic {topic!r}" if number is None else f"partition {number} of {topic!r}"
            raise NotFound(
                f"nothing of {which} is blocked; `cachesvc mining blocked` lists what is",
                reason="PARTITION_NOT_BLOCKED",
                metadata={"connection": connection, "topic": topic},
            )
        for partition, trouble in found:
            self._try(partition, trouble)
        await self.write()
        self.on_change()
        return found

    def _try(self, partition: PartitionId, trouble: Trouble) -> None:
        self._attempts[partition] = self._attempts.get(partition, 0) + 1
        self._set(partition, tried(trouble, _now_ms()))
        _log.info(
            "a blocked partition is tried again",
            extra={"event": "partition_retried", **_fields(partition, trouble.blockage)},
        )

    def forget(self, connection: str) -> None:
        """Knows nothing of a connection any more. Idempotent."""
        self._drop([each for each in self._troubles if each.connection == connection])

    def over(self, topic: TopicId) -> None:
        """Nothing of that incarnation of a topic is mined any more. Idempotent."""
        self._drop([each for each in self._troubles if each.topic_id == topic])

    def _drop(self, partitions: Iterable[PartitionId]) -> None:
        for partition in partitions:
            del self._troubles[partition]
            self._unwritten.add(partition)

    async def run(self) -> None:
        """Writes what readers say, and tries again what is due, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._look_past()
            now_ms = _now_ms()
            due = [each for each in self.all() if 0 < each[1].retry_ms <= now_ms]
            for partition, trouble in due:
                self._try(partition, trouble)
            if due:
                self.on_change()
            with contextlib.suppress(PreconditionFailed):  # it is as good the next time
                await self.write()

    def _look_past(self) -> None:
        """Forgets what was mined; readers tell of a partition only where there is news of it."""
        for partition, trouble in list(self._troubles.items()):
            if not trouble.withheld and self.mined(partition, trouble.last_offset):
                self.passed(partition)

    async def write(self) -> None:
        """Makes everything durable that is not.

        Raises:
            StoreUnwritable: The disk does not take it; it is tried again.
        """
        async with self._writing:
            unwritten, self._unwritten = self._unwritten, set()
            if not unwritten:
                return
            changes = {each: self._troubles.get(each) for each in unwritten}
            try:
                await self._catalogue.call(lambda port: port.troubles.put(changes))
            except BaseException:
                self._unwritten |= unwritten
                raise

    def _set(self, partition: PartitionId, trouble: Trouble) -> None:
        self._troubles[partition] = trouble
        self._unwritten.add(partition)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _fields(partition: PartitionId, blockage: Blockage) -> dict[str, object]:
    return {
        "topic": partition.topic,
        "partition": partition.partition,
        "offset": blockage.offset,
        "bytes": blockage.bytes,
        "reason": blockage.reason.value,
    }
