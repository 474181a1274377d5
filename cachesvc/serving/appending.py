"""One call for appends: takes them in order, and answers in order once they are written."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import grpc

from cachesvc.assignment.assignments import Assignments
from cachesvc.errors import (
    CacheError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    ShuttingDown,
)
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId, TopicId
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.serving.append_parts import AppendParts, WholeAppend
from cachesvc.store.frames import Frame
from cachesvc.v1 import mining_pb2 as pb

_log = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
OnTraced = Callable[[PartitionId, pb.AppendRequest, "asyncio.Future[None] | CacheError"], None]
"""Is told of an append that is traced, and of what becomes of it; must not wait."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """An append that has no answer yet: accepted, and done when it is written; or refused.

    Attributes:
        partition: Whose it is.
        log: What it goes to; None where there is no such log.
        backfill: Whether it is of an older range.
        begin: Where it begins.
        end: Where it ends.
        done: What became of it.
    """

    partition: PartitionId
    log: PartitionLog | None
    backfill: bool
    begin: int
    end: int
    done: asyncio.Future[None] | CacheError

    @property
    def settled(self) -> bool:
        """Whether it is known what became of it."""
        return isinstance(self.done, CacheError) or self.done.done()


class Appender:
    """One append stream: accepts in order, acknowledges in order once journals are written.

    Whatever is wrong with an append is the answer to it; the call goes on.
    """

    def __init__(
        self,
        store: LogStore,
        assignments: Assignments,
        parts: AppendParts,
        context: Context,
        on_traced: OnTraced | None = None,
    ) -> None:
        self._store = store
        self._assignments = assignments
        self._parts = parts
        self._context = context
        self._on_traced = on_traced
        self._pending: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._finished = False
        self._joins = False

    async def run(self, requests: AsyncIterator[pb.AppendRequest]) -> None:
        """Takes and answers until the caller ends.

        Raises:
            ShuttingDown: The service is about to end.
        """
        acknowledging = asyncio.ensure_future(self._acknowledge())
        try:
            async for request in requests:
                self._joins = self._joins or bool(request.joined)
                for each in request.joined or (request,):
                    whole = self._parts.take(each)
                    if whole is not None:
                        self._pending.append(await self._accept(whole))
                        self._arrived.set()
                if acknowledging.done():
                    break
            self._finished = True
            self._arrived.set()
            await acknowledging
        finally:
            acknowledging.cancel()

    async def _accept(self, whole: WholeAppend) -> _Pending:
        request = whole.request
        topic = TopicId(request.connection, request.topic, request.incarnation)
        partition = topic.partition(request.partition)
        log = self._store.get(partition)
        done: asyncio.Future[None] | CacheError
        try:
            if whole.refused is not None:
                raise whole.refused
            if log is None:
                raise _no_partition(request)
            log, done = await self._append(log, request, frame_of(whole))
        except ShuttingDown:
            raise
        except CacheError as error:
            done = error
        except Exception:
            fields = {"event": "append_failed", **_fields(request)}
            _log.exception("an append failed in a way that nobody foresaw", extra=fields)
            done = PreconditionFailed("the service's log has the cause", reason="APPEND_FAILED")
        if isinstance(done, InvalidRequest):
            _log.error(
                "an append is refused",
                extra={"event": "append_invalid", **_fields(request), "error": str(done)},
            )
        if self._on_traced is not None and request.HasField("trace"):
            self._on_traced(partition, request, done)
        span = request.base_offset, request.end_offset
        return _Pending(partition, log, request.backfill, *span, done)

    async def _append(
        self, log: PartitionLog, request: pb.AppendRequest, frame: Frame
    ) -> tuple[PartitionLog, "asyncio.Future[None]"]:
        epoch = request.leader_epoch if request.HasField("leader_epoch") else UNKNOWN_EPOCH
        topic = log.id.topic_id
        self._assignments.epochs.check(topic, request.epoch)
        if request.backfill:
            if not log.untouched:
                self._store.epochs.check_older(log.id, epoch)
            log = self._store.backfill.taking(log.id, frame.base_offset, frame.end_offset)
        if log.untouched and frame.base_offset > log.log_start_offset:
            await self._store.changes.begin_at(log, frame.base_offset)
        if request.gap and frame.base_offset == log.accepted_end_offset:
            await self._store.changes.lose(log, frame.base_offset, frame.end_offset)
            if request.backfill:  # subscribers have come meanwhile, perhaps into the middle of it
                log = self._store.backfill.taking(log.id, frame.base_offset, frame.end_offset)
        if request.gap and request.backfill and log.blank:
            self._store.ranges.move(log, frame.end_offset)
            frame = replace(frame, base_offset=frame.end_offset)
        was_empty = request.backfill and log.blank
        done = self._store.writer.accept(log, frame, epoch)
        if log.complete or was_empty:  # something else may be the lowest that is missing
            self._assignments.plan_again()
        self._assignments.loads.count(
            topic, frame.record_count, frame.encoded_bytes, frame.reject_count
        )
        return log, done

    async def _acknowledge(self) -> None:
        while True:
            if not self._pending:
                if self._finished:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            answers = [await self._answer(self._pending.popleft())]
            while self._joins and self._pending and self._pending[0].settled:
                answers.append(await self._answer(self._pending.popleft()))
            joined = len(answers) > 1
            await self._context.write(pb.AppendResponse(joined=answers) if joined else answers[0])

    async def _answer(self, pending: _Pending) -> pb.AppendResponse:
        refused = ""
        if isinstance(pending.done, CacheError):
            refused = pending.done.reason
        else:
            try:
                await pending.done
            except PreconditionFailed as error:
                refused = error.reason
        end = self._go_on_at(pending) if refused else pending.end
        partition = pending.partition
        # Known of what the tail has mined; what is behind another part of a missing range is not.
        known = None if pending.backfill else known_leader_epoch(self._store, partition, end)
        return pb.AppendResponse(
            topic=partition.topic,
            partition=partition.partition,
            log_end_offset=end,
            refused=refused,
            leader_epoch=known,
        )

    def _go_on_at(self, refused: "_Pending") -> int:
        """Where a reader goes on whose append was refused."""
        if refused.log is None:
            return refused.begin
        if not refused.backfill:
            return refused.log.accepted_end_offset
        growing = self._store.backfill.growing(refused.log.id)
        return refused.begin if growing is None else growing.accepted_end_offset


def _no_partition(request: pb.AppendRequest) -> CacheError:
    return NotFound(
        f"there is no partition {request.topic}/{request.partition} of incarnation "
        f"{request.incarnation} to append to",
        reason="UNKNOWN_PARTITION",
    )


def _fields(request: pb.AppendRequest) -> dict[str, object]:
    return {
        "topic": request.topic,
        "partition": request.partition,
        "offset": request.base_offset,
        "epoch": request.epoch,
    }


def known_leader_epoch(store: LogStore, partition: PartitionId, offset: int) -> int | None:
    """Of what was mined last before an offset, as far as that is known."""
    epoch = store.epochs.before(partition, offset)
    return None if epoch == UNKNOWN_EPOCH else epoch


def frame_of(whole: WholeAppend) -> Frame:
    """The frame that an append carries.

    Raises:
        InvalidRequest: Its numbers contradict each other.
    """
    request = whole.request
    consistent = (
        0 <= request.base_offset <= request.end_offset
        and min(request.record_count, request.reject_count) >= 0
        and bool(request.record_count) == bool(whole.payload)
        and bool(request.reject_count) == bool(whole.rejects)
        and request.record_count + request.reject_count <= request.end_offset - request.base_offset
        and (
            not request.record_count
            or request.base_offset <= request.first_offset < request.end_offset
        )
    )
    if not consistent:
        raise InvalidRequest(
            f"an append to {request.topic}/{request.partition} of [{request.base_offset}, "
            f"{request.end_offset}) with {request.record_count} records contradicts itself",
            reason="INVALID_APPEND",
        )
    return Frame(
        request.base_offset,
        request.end_offset,
        request.first_offset if request.record_count else request.end_offset,
        request.min_timestamp_ms,
        request.max_timestamp_ms,
        request.record_count,
        request.reject_count,
        whole.payload,
        whole.rejects,
    )
