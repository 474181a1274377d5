"""Where the logs of partitions begin that are new to the cache."""

from collections.abc import Mapping, Sequence

from cachesvc.log.lookup import UNTIMED, SourceLookup
from cachesvc.model import MiningStart, StartKind


async def first_offsets(
    lookup: SourceLookup, partitions: Sequence[tuple[str, int]], start: MiningStart
) -> Mapping[tuple[str, int], int]:
    """The offset at which mining of each partition begins.

    Raises:
        SourceUnreachable: The cluster does not answer.
    """
    if start.kind is StartKind.EARLIEST:
        return await lookup.earliest_offsets(partitions)
    ends = await lookup.end_offsets(partitions)
    if start.kind is StartKind.NOW:
        return ends
    found = await lookup.offsets_at(partitions, start.timestamp_ms)
    at = {each: offset for each, offset in found.items() if offset is not None}
    untimed = [each for each, offset in at.items() if offset == UNTIMED]
    if untimed:
        at |= await lookup.earliest_offsets(untimed)
    return {each: at.get(each, ends[each]) for each in partitions}
