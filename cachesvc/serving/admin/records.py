"""Some records of a log, for who wants to look at them."""

from collections.abc import Sequence
from typing import Any

import grpc

from cachesvc.clusters.sources import Sources
from cachesvc.errors import InvalidRequest, NotFound
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.serving import convert
from cachesvc.serving.admin.topics import check_known
from cachesvc.serving.record_messages import records_body
from cachesvc.serving.status import errors_as_status
from cachesvc.store import recoding
from cachesvc.store.frames import Frame
from cachesvc.v1 import admin_pb2 as pb
from cachesvc.v1 import log_cache_pb2

Context = grpc.aio.ServicerContext[Any, Any]
_RECORDS_DEFAULT = 50
_RECORDS_MAX = 1_000
_BYTES_DEFAULT = 64 << 10
_BYTES_MAX = 1 << 20
_ANSWER_BYTES_MAX = 2 << 20
# Of frames without records, which a compacted topic may have many of.
_READS_MAX = 100


class RecordAdmin:
    """The call of ``cachesvc.v1.Admin`` that shows records; see the .proto for the contract.

    Args:
        store: The logs.
        sources: The connections.
    """

    def __init__(self, store: LogStore, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    async def ListRecords(
        self, request: pb.ListRecordsRequest, context: Context
    ) -> pb.ListRecordsResponse:
        async with errors_as_status(context):
            limit = _within("limit", request.limit, _RECORDS_DEFAULT, _RECORDS_MAX)
            bytes_max = _within("bytes_max", request.bytes_max, _BYTES_DEFAULT, _BYTES_MAX)
            ranges = self._ranges(request)
            top = ranges[-1]
            answer = pb.ListRecordsResponse(
                next_offset=top.log_end_offset,
                first_offset=ranges[0].log_start_offset,
                log_end_offset=top.log_end_offset,
                incarnation=top.id.incarnation,
            )
            offset = await self._from(request, ranges, limit)
            if offset is not None:
                await self._read(ranges, offset, limit, bytes_max, answer)
            return answer

    def _ranges(self, request: pb.ListRecordsRequest) -> list[PartitionLog]:
        """What is cached of the partition, in offset order."""
        connection = self._sources.resolve(request.connection).name
        check_known(self._sources, self._store, connection, request.topic)
        topic = self._store.topic_id(connection, request.topic)
        partition = topic.partition(request.partition)
        if partition not in self._store.logs:
            raise NotFound(
                f"nothing is cached of partition {request.partition} of {request.topic!r}",
                metadata={"topic": request.topic, "partition": request.partition},
            )
        return self._store.ranges.of(partition)

    async def _from(
        self, request: pb.ListRecordsRequest, ranges: Sequence[PartitionLog], limit: int
    ) -> int | None:
        """The offset to begin at; None where there is nothing."""
        match request.WhichOneof("from"):
            case "offset":
                return max(0, request.offset)
            case "timestamp_ms":
                at = convert.timestamp("timestamp_ms", request.timestamp_ms)
                for log in ranges:
                    found = await self._store.reader.offset_at(log, at)
                    if found is not None:
                        return found
                return None
        return max(ranges[0].log_start_offset, ranges[-1].log_end_offset - limit)

    async def _read(
        self,
        ranges: Sequence[PartitionLog],
        offset: int,
        limit: int,
        bytes_max: int,
        answer: pb.ListRecordsResponse,
    ) -> None:
        reader = self._store.reader
        size = reads = 0
        for log in ranges:
            offset = max(offset, log.log_start_offset)
            while offset < log.log_end_offset:
                if (lost := log.lost_at(offset)) is not None:
                    offset = lost.end
                    continue
                chunk = await reader.read(log, offset)
                reads += 1
                for frame in chunk:
                    wanted = limit - len(answer.records)
                    end = frame.end_offset
                    begin = max(frame.base_offset, offset)
                    if frame.record_count:
                        end = min(end, begin + wanted)
                        for record in await reader.run(_records, frame, begin, end, bytes_max):
                            size += record.ByteSize()
                            if size > _ANSWER_BYTES_MAX and answer.records:
                                return
                            answer.records.append(record)
                            answer.next_offset = record.record.offset + 1
                    offset = answer.next_offset = end
                    if len(answer.records) == limit or reads >= _READS_MAX:
                        return
                    if end < frame.end_offset:
                        break  # offsets without records: the rest of the frame is wanted too
                if not chunk:
                    break
        answer.next_offset = max(offset, answer.log_end_offset)


def _records(frame: Frame, begin: int, end: int, bytes_max: int) -> list[pb.CachedRecord]:
    """Those of a frame within a range, cut. Blocking."""
    if begin > frame.base_offset or end < frame.end_offset:
        frame = recoding.slice_frame(frame, begin, end)
    batch = log_cache_pb2.Batch.FromString(records_body(frame))
    return [_cut(record, bytes_max) for record in batch.records]


def _cut(record: log_cache_pb2.Record, bytes_max: int) -> pb.CachedRecord:
    found = pb.CachedRecord(key_bytes=len(record.key), value_bytes=len(record.value))
    for field in ("key", "value"):
        if len(getattr(record, field)) > bytes_max:
            setattr(record, field, getattr(record, field)[:bytes_max])
    for header in record.headers:
        if len(header.value) > bytes_max:
            header.value = header.value[:bytes_max]
    found.record.CopyFrom(record)
    return found


def _within(name: str, value: int, default: int, highest: int) -> int:
    if not 0 <= value <= highest:
        raise InvalidRequest(f"{name}: {value} is outside 0 to {highest:,}; 0 means {default:,}")
    return value or default
