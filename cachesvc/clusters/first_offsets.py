"""Where the logs of partitions begin that are new to the cache."""

from collections.abc import Sequence

from cachesvc.clusters.lookup import UNTIMED, Answers, SourceLookup, TopicPartition
from cachesvc.model import MiningStart, StartKind


async def first_offsets(
    lookup: SourceLookup, partitions: Sequence[TopicPartition], start: MiningStart
) -> Answers[int]:
    """The offset at which mining of each partition begins.

    Raises:
        SourceUnreachable: The cluster does not answer.
    """
    if start.kind is StartKind.EARLIEST:
        return await lookup.earliest_offsets(partitions)
    ends = await lookup.end_offsets(partitions)
    if start.kind is StartKind.NOW:
        return ends
    at = await lookup.offsets_at(list(ends.found), start.timestamp_ms)
    untimed = [each for each, offset in at.found.items() if offset == UNTIMED]
    earliest: Answers[int] = await lookup.earliest_offsets(untimed) if untimed else Answers({})
    timed = {each: offset for each, offset in at.found.items() if offset != UNTIMED}
    begins = {
        each: ends.found[each] if offset is None else offset for each, offset in timed.items()
    }
    failed = {**ends.failed, **at.failed, **earliest.failed}
    return Answers({**begins, **earliest.found}, failed)
