"""From a batch of the source to a piece for the sink: decoding and transforms, in a thread."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from cachesvc.client import Batch
from cachesvc.sync.changes import Changes, changes_of
from cachesvc.sync.errors import SyncError
from cachesvc.sync.runner.pieces import Piece, RefusedRecord
from cachesvc.sync.transform import Transform


class TransformFailed(SyncError):
    """A transform raised what it must not; its code, or its settings, have to change."""

    default_reason = "TRANSFORM_FAILED"


class Preparing:
    """Decodes batches and applies transforms. One call at a time, in a thread of its own.

    Args:
        name: Of the task.
        transforms: In order.
    """

    def __init__(self, name: str, transforms: Sequence[Transform]) -> None:
        self._transforms = transforms
        self._thread = ThreadPoolExecutor(1, f"cachesvc-sync-{name}")

    async def prepare(self, batch: Batch) -> Piece:
        """What becomes of a batch.

        Raises:
            DamagedBatch: It does not decode.
            TransformFailed: A transform raised.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._prepared, batch)

    async def apply(self, changes: Changes) -> Piece:
        """What becomes of changes that did not come as a batch; raises as ``prepare`` does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, transformed, changes, self._transforms)

    def close(self) -> None:
        """Lets the thread end, once it has done what it is doing. Idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _prepared(self, batch: Batch) -> Piece:
        return transformed(changes_of(batch), self._transforms)


def transformed(changes: Changes, transforms: Sequence[Transform]) -> Piece:
    """Applies transforms one after the other.

    Raises:
        TransformFailed: One of them raised.
    """
    before: pa.RecordBatch | None = changes.rows if transforms else None
    refused: dict[int, RefusedRecord] = {}
    for number, transform in enumerate(transforms):
        try:
            done = transform.apply(changes)
            offsets = changes.rows.column("offset")
            for row in done.refused:
                offset = offsets[row.row].as_py()
                refused.setdefault(offset, RefusedRecord(offset, row.reason, row.detail))
        except Exception as error:
            where = f"{changes.source.topic}/{changes.source.partition}"
            first = changes.rows.column("offset")[0].as_py() if len(changes) else "-"
            raise TransformFailed(
                f"transforms[{number}] failed on {len(changes)} records of {where} from offset "
                f"{first} on: {type(error).__name__}: {error}",
                metadata={"transform": str(number), "topic": changes.source.topic},
            ) from error
        changes = done.changes
    return Piece(changes, sorted(refused.values(), key=lambda each: each.offset), before)
