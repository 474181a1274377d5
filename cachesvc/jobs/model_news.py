"""What of a topic's records the job ``models`` has not looked at yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment, TopicId
from cachesvc.policy.model_refresh import Stored, sample_begin
from cachesvc.store.model_port import Looked


@dataclass(frozen=True, slots=True)
class News:
    """What of a partition was not looked at yet.

    Attributes:
        log: The partition's top one.
        begin: Where what is new at its end begins.
        older: Segments with something before that which was mined after the last look, in order.
    """

    log: PartitionLog
    begin: int
    older: Sequence[Segment]

    def spans(self, end: int, records_max: int, bytes_max: int) -> list[tuple[int, int]]:
        """The ranges to look at, up to ``end``: the newest of what is older, and of what is new."""
        spans = []
        if self.older:
            files = [_stored_segment(segment) for segment in self.older]
            first = sample_begin(files, files[0].base_offset, self.begin, records_max, bytes_max)
            bounds = [(max(f.base_offset, first), min(f.end_offset, self.begin)) for f in files]
            spans = [(begin, stop) for begin, stop in bounds if begin < stop]
        at = sample_begin(_stored(self.log), self.begin, end, records_max, bytes_max)
        return [*spans, (at, end)]


async def news_of(store: LogStore, connection: str) -> dict[TopicId, list[News]]:
    """The partitions of which something was mined since the last refresh, by topic."""
    looked = await store.catalogue.call(lambda port: port.models.looked(connection))
    found: dict[TopicId, list[News]] = {}
    for log in store.logs.of_connection(connection):
        known = looked.get(log.id.topic_id, Looked())
        begin = max(known.offsets.get(log.id.partition, 0), log.log_start_offset)
        older = [
            segment
            for covering in store.ranges.of(log.id)
            for segment in covering.segments
            if segment.base_offset < begin and segment.backfilled_ms >= known.refreshed_ms
        ]
        if older or begin < log.log_end_offset:
            found.setdefault(log.id.topic_id, []).append(News(log, begin, older))
    return found


def _stored_segment(segment: Segment) -> Stored:
    return Stored(segment.base_offset, segment.end_offset, segment.record_count, segment.bytes)


def _stored(log: PartitionLog) -> list[Stored]:
    segments = [_stored_segment(segment) for segment in log.segments]
    journals = [
        Stored(entry.base_offset, entry.end_offset, entry.index.record_count, entry.bytes)
        for entry in log.journals
        if entry.index is not None
    ]
    return segments + journals
