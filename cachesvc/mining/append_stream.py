"""One call for appends, and what gRPC says when a call ends."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from cachesvc.errors import CacheError, NotFound, PreconditionFailed
from cachesvc.mining.encode import EncodedAppend
from cachesvc.mining.holdings import HeldPartition
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH
from cachesvc.v1 import mining_pb2 as pb

PART_BYTES = 4 << 20
"""An append with more than that goes in several messages."""
_SMALL_BYTES = 64 << 10
_JOINED_BYTES_MAX = 256 << 10
"""Appends of at most the one go together in messages of about the other."""

# Trying again is no use.
_FINAL = frozenset({"VERSION_MISMATCH", "JOIN_TOKEN_WRONG", "MINING_LOCAL_ONLY"})
_STATUS_KEY = "grpc-status-details-bin"


class ServiceLost(CacheError):
    """The service ended a call or cannot be reached; join again."""

    retriable = True
    default_reason = "SERVICE_LOST"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says to an append.

    Attributes:
        partition: Whose append.
        log_end_offset: The log's end after it.
        refused: Why it was not appended; empty if it was.
        leader_epoch: Of the record batch before ``log_end_offset``, as far as that is known.
    """

    partition: SourcePartition
    log_end_offset: int
    refused: str
    leader_epoch: int = UNKNOWN_EPOCH


class AppendStream:
    """One call for appends, which are answered in their order.

    Small appends of one fetch go in one message, where the service takes that: a message costs both
    sides the same however little is in it, and what comes together is written and delivered
    together.

    Args:
        call: The call.
        backfill: Whether its appends are of older ranges.

    Attributes:
        joins: Whether the service takes several appends in a message.
    """

    def __init__(self, call: Any, *, backfill: bool) -> None:
        self._call = call
        self._writing = asyncio.Lock()
        self._held: list[pb.AppendRequest] = []
        self._held_bytes = 0
        self._answers: deque[pb.AppendResponse] = deque()
        self.backfill = backfill
        self.joins = False

    async def append(
        self,
        connection: str,
        held: HeldPartition,
        append: EncodedAppend,
        trace: pb.AppendTrace | None = None,
        *,
        more: bool = False,
    ) -> None:
        """Sends an append; returns when gRPC has taken it. Appends go in the order of the calls.

        With ``more`` a small one is held, to go with those that follow; ``flush`` sends it at the
        latest.
        """
        requests = _requests(connection, held, append, trace, backfill=self.backfill)
        if self.joins and append.bytes <= _SMALL_BYTES:
            self._held += requests
            self._held_bytes += append.bytes
            if not more or self._held_bytes > _JOINED_BYTES_MAX - _SMALL_BYTES:
                await self.flush()
            return
        # Parts of one append follow one another, whoever sends another one, or gives up.
        await _carried_out(self._write_all(chain(self._take_held(), requests)))

    async def flush(self) -> None:
        """Sends what is held."""
        if self._held:
            await _carried_out(self._write_all(self._take_held()))

    def _take_held(self) -> list[pb.AppendRequest]:
        held, self._held, self._held_bytes = self._held, [], 0
        return [pb.AppendRequest(joined=held)] if len(held) > 1 else held

    async def _write_all(self, requests: Iterable[pb.AppendRequest]) -> None:
        async with self._writing:
            for request in requests:
                await write(self._call, request)

    async def answer(self) -> Answer:
        """Waits for the answer to the oldest append that has none yet."""
        if not self._answers:
            message: pb.AppendResponse = await read(self._call)
            self._answers.extend(message.joined or (message,))
        response = self._answers.popleft()
        partition = SourcePartition(response.topic, response.partition)
        return Answer(
            partition, response.log_end_offset, response.refused, leader_epoch_of(response)
        )


def _requests(
    connection: str,
    held: HeldPartition,
    append: EncodedAppend,
    trace: pb.AppendTrace | None,
    *,
    backfill: bool,
) -> Iterator[pb.AppendRequest]:
    """An append as one message, or as many as its size needs; made one at a time."""
    parts = list(_parts(append))
    for number, (payload, rejects) in enumerate(parts, start=1):
        yield pb.AppendRequest(
            connection=connection,
            topic=held.partition.topic,
            partition=held.partition.number,
            incarnation=held.incarnation,
            epoch=held.epoch,
            base_offset=append.base_offset,
            end_offset=append.end_offset,
            record_count=append.record_count,
            min_timestamp_ms=append.min_timestamp_ms,
            max_timestamp_ms=append.max_timestamp_ms,
            first_offset=append.first_offset,
            payload=bytes(payload),
            reject_count=append.reject_count,
            rejects=bytes(rejects),
            gap=append.gap,
            backfill=backfill,
            leader_epoch=None if append.leader_epoch == UNKNOWN_EPOCH else append.leader_epoch,
            payload_bytes=len(append.payload) if len(parts) > 1 else 0,
            rejects_bytes=len(append.rejects) if len(parts) > 1 else 0,
            more=number < len(parts),
            trace=trace,
        )


def _parts(append: EncodedAppend) -> Iterator[tuple[bytes | memoryview, bytes | memoryview]]:
    """Payload and rejects, piece by piece."""
    if append.bytes <= PART_BYTES:
        yield append.payload, append.rejects
        return
    for begin in range(0, len(append.payload), PART_BYTES):
        yield memoryview(append.payload)[begin : begin + PART_BYTES], b""
    for begin in range(0, len(append.rejects), PART_BYTES):
        yield b"", memoryview(append.rejects)[begin : begin + PART_BYTES]


def leader_epoch_of(message: pb.AssignedPartition | pb.AppendResponse) -> int:
    """The leader epoch that a message carries, if it does."""
    return message.leader_epoch if message.HasField("leader_epoch") else UNKNOWN_EPOCH


async def read(call: Any) -> Any:
    """The next message of a call.

    Raises:
        CacheError: The call has ended.
    """
    try:
        message = await call.read()
    except grpc.aio.AioRpcError as error:
        raise _lost(error.code(), error.details(), error.trailing_metadata()) from error
    if message is grpc.aio.EOF:
        raise _lost(await call.code(), await call.details(), await call.trailing_metadata())
    return message


async def write(call: Any, message: object) -> None:
    """Sends a message.

    Raises:
        CacheError: The call has ended.
    """
    try:
        # Cancelling gRPC's own write would end the whole call.
        await _carried_out(call.write(message))
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
        raise _lost(
            await call.code(), await call.details(), await call.trailing_metadata()
        ) from error


async def _carried_out(work: Coroutine[Any, Any, None]) -> None:
    """Goes on with ``work`` where the caller gives up; that it fails then concerns nobody."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.shield(task)


def _lost(code: grpc.StatusCode, details: str | None, metadata: Any) -> CacheError:
    text = f"the service ended the call with {code.name}: {details or 'no details'}"
    reason = _reason(metadata)
    if reason in _FINAL:
        return PreconditionFailed(text, reason=reason)
    if reason == "UNKNOWN_CONNECTION":
        return NotFound(text, reason=reason)
    return ServiceLost(text, metadata={"code": code.name})


def _reason(metadata: Any) -> str:
    """The reason in a status's ErrorInfo; empty if there is none."""
    for key, value in metadata or ():
        if key == _STATUS_KEY:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""
