"""What becomes of a partition at which mining fails: it goes back and tries again, or stops there.

Nothing of it concerns any other partition.
"""

import asyncio
import logging
from collections.abc import Callable

from cachesvc.mining.append_stream import Answer
from cachesvc.mining.failures import blockage_of, reason_of
from cachesvc.mining.holdings import HeldPartition, Holdings
from cachesvc.mining.source import SourceBatch, SourcePartition, SourceReader
from cachesvc.mining.window import InFlight
from cachesvc.policy.blocking import Blockage, BlockReason

_log = logging.getLogger(__name__)
_STALE_EPOCH = "STALE_EPOCH"
# These are no fault of what was appended: they go by, or the service says where to go on.
_NOT_THE_RECORDS = frozenset(
    {
        "NOT_CONTIGUOUS",
        "NOT_WANTED",
        "SOURCE_TRUNCATED",
        "STORE_BEHIND",
        "STORE_WRITE_FAILED",
        "STORE_FULL",
        "OUT_OF_DESCRIPTORS",
        "UNKNOWN_PARTITION",
    }
)
_TOO_LARGE = "TOO_LARGE"


class Setbacks:
    """Sets partitions back and stops them. Belongs to one event loop.

    Args:
        holdings: What is held.
        source: Where records come from.
        changed: Told of each partition that is doing otherwise than before.
        fetch: Has a partition fetched from where it stands.
    """

    def __init__(
        self,
        holdings: Holdings,
        source: SourceReader,
        changed: Callable[[SourcePartition], None],
        fetch: Callable[[HeldPartition], None],
    ) -> None:
        self._holdings = holdings
        self._source = source
        self._changed = changed
        self._fetch = fetch

    def failed(
        self, held: HeldPartition, generation: int, batch: SourceBatch, error: Exception, rows: int
    ) -> None:
        """Something of a batch cannot be decoded or encoded; what lies before it was sent."""
        if not self._holdings.holds(held, generation) or held.blocked is not None:
            return
        end = max(held.next_offset, batch.base_offset) + 1
        if held.suspect(held.next_offset, end, rows):
            self.stop(held, blockage_of(error, held.next_offset, batch.encoded_bytes))
        else:
            why = f"{reason_of(error)}: {error}"
            self._go_back(held, held.next_offset, held.leader_epoch, why)

    def refused(self, append: InFlight, answer: Answer) -> None:
        """The service did not take an append of a partition that is held as it was."""
        held = append.held
        _log.warning(
            "the service refused an append",
            extra={
                "event": "append_refused",
                **fields_of(held),
                "reason": answer.refused,
                "log_end_offset": answer.log_end_offset,
            },
        )
        why = f"the service refuses what follows {answer.log_end_offset}: {answer.refused}"
        if answer.refused == _STALE_EPOCH:
            for partition in self._holdings.lose(
                held.partition.topic, held.incarnation, held.epoch
            ):
                self._source.remove(partition)
                self._changed(partition)
        elif answer.refused not in _NOT_THE_RECORDS and self._stops(append, answer.refused):
            held.next_offset, held.leader_epoch = append.base_offset, answer.leader_epoch
            held.generation += 1
            large = answer.refused == _TOO_LARGE
            reason = BlockReason.TOO_LARGE if large else BlockReason.APPEND_REFUSED
            self.stop(held, Blockage(reason, append.base_offset, append.bytes, why))
        else:
            self._go_back(held, answer.log_end_offset, answer.leader_epoch, why)

    def _stops(self, append: InFlight, refused: str) -> bool:
        """Whether a partition stops at what was refused: a single record, often enough."""
        if append.records <= 1 and refused == _TOO_LARGE:
            return True
        return append.held.suspect(append.base_offset, append.end_offset, append.records)

    def stop(self, held: HeldPartition, blockage: Blockage) -> None:
        """Stops a partition, and no other one, until it is assigned anew."""
        held.blocked = blockage
        self._source.pause(held.partition)
        self._changed(held.partition)
        _log.error(
            "mining of a partition stops",
            extra={
                "event": "partition_blocked",
                **fields_of(held),
                "reason": blockage.reason.value,
                "error": blockage.detail,
            },
        )

    def _go_back(self, held: HeldPartition, offset: int, leader_epoch: int, why: str) -> None:
        delay_s = held.go_back(offset, leader_epoch, why)
        self._changed(held.partition)
        if not delay_s:
            self._fetch(held)
            return
        _log.warning(
            "mining of a partition goes back and tries again",
            extra={
                "event": "partition_set_back",
                **fields_of(held),
                "error": why,
                "retry_s": round(delay_s, 2),
            },
        )
        self._source.pause(held.partition)
        asyncio.get_running_loop().call_later(delay_s, self._try_again, held, held.generation)

    def _try_again(self, held: HeldPartition, generation: int) -> None:
        if self._holdings.holds(held, generation):
            self._fetch(held)


def fields_of(held: HeldPartition) -> dict[str, object]:
    """What a line of the log says of a partition."""
    return {
        "topic": held.partition.topic,
        "partition": held.partition.number,
        "offset": held.next_offset,
        "epoch": held.epoch,
    }
