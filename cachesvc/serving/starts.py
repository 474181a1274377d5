"""Where a stream starts and ends: asks the policy, and the source where the policy needs it."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from cachesvc.clusters.lookup import UNTIMED, Answers, TopicPartition
from cachesvc.clusters.sources import Source
from cachesvc.errors import DataLoss, InvalidRequest, SourceUnreachable
from cachesvc.log.estimates import may_lack_times
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, Mode, PartitionId
from cachesvc.policy.start_position import (
    At,
    ExplicitStart,
    FromEarliest,
    FromLatest,
    FromPosition,
    FromTimestamp,
    NeedsSourceEnd,
    NeedsSourceStart,
    NeedsTimestampLookup,
    PartitionFacts,
    after_lookup,
    first_at,
    postponed,
    start_position,
)
from cachesvc.serving.convert import StartRequest, partition_id
from cachesvc.subscriptions.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a stream starts.

    Attributes:
        positions: The first offset to deliver, per partition.
        to_store: Those of them that have to be durable before anything is delivered.
        unknown: What the start of each partition means that the source could not be asked about.
    """

    positions: Mapping[PartitionId, int]
    to_store: Mapping[PartitionId, int]
    unknown: Mapping[PartitionId, ExplicitStart]


class Starts:
    """Resolves positions of one connection's partitions.

    Args:
        store: Holds the logs.
        source: Is asked for its ends, its starts and offsets at a time, at most once each.

    Attributes:
        failed: Why the source could not be asked about partitions; others go on without them.
    """

    def __init__(self, store: LogStore, source: Source) -> None:
        self._store = store
        self._source = source
        self._ends: dict[PartitionId, int] = {}
        self._starts: dict[PartitionId, int] = {}
        self.failed: dict[PartitionId, SourceUnreachable] = {}

    async def resolve(
        self,
        logs: Iterable[PartitionLog],
        mode: Mode,
        start: StartRequest,
        subscription: Subscription,
    ) -> Resolved:
        """Where a subscriber starts in each partition.

        That is in the incarnation of a topic that the position is of, which may be over. A position
        that cannot be given is answered as it is: the stream tells the gap. Where the call says
        nothing, what an earlier one said counts that could not be resolved at its time.

        Raises:
            InvalidRequest: A position names an incarnation that the topic has not come to.
            SourceUnreachable: The source has to be asked and does not answer at all.
        """
        now_ms = time.time_ns() // 1_000_000
        wanted: dict[PartitionLog, PartitionFacts] = {}
        for present in logs:
            log = self._entry(present, start, subscription)
            explicit = _explicit(start, log.id)
            bounds = log.log_start_offset, log.log_end_offset
            wanted[log] = _facts(log.id, bounds, mode, explicit, subscription)
        positions = await self._decide(wanted)
        stored = subscription.positions
        to_store = {
            log.id: positions[log.id]
            for log, facts in wanted.items()
            if log.id in positions
            and _has_to_be_stored(facts, stored.get(log.id), positions[log.id])
        }
        unknown = {
            log.id: postponed(facts, now_ms)
            for log, facts in wanted.items()
            if log.id not in positions
        }
        return Resolved(positions, to_store, unknown)

    async def reset_positions(
        self, logs: Iterable[PartitionLog], start: StartRequest
    ) -> Mapping[PartitionId, int]:
        """The positions that a reset asks for; empty if it asks for none.

        Raises:
            DataLoss: A position lies before all that the cache and the source have.
            InvalidRequest: A position names a partition that the subscription does not have.
            SourceUnreachable: The source has to be asked and does not answer.
        """
        wanted: dict[PartitionLog, PartitionFacts] = {}
        for present in logs:
            log = self._named(present, start) or present
            explicit = _explicit(start, log.id)
            if explicit is not None:
                wanted[log] = PartitionFacts(
                    Mode.INCREMENTAL,
                    explicit,
                    None,
                    False,
                    log.log_start_offset,
                    log.log_end_offset,
                    None,
                )
        if start.positions:
            known = {(log.id.topic, log.id.partition) for log in wanted}
            for topic, number in start.positions:
                if (topic, number) not in known:
                    raise InvalidRequest(
                        f"start.positions: {topic}/{number} is no partition of this subscription",
                        reason="UNKNOWN_PARTITION",
                        metadata={"topic": topic, "partition": number},
                    )
        positions = await self._decide(wanted)
        await self._check_in_range(wanted, positions)
        for error in self.failed.values():
            raise error
        return positions

    async def _check_in_range(
        self, logs: Iterable[PartitionLog], positions: Mapping[PartitionId, int]
    ) -> None:
        """Refuses positions whose records nobody has any more."""
        before = [
            log
            for log in logs
            if (position := positions.get(log.id)) is not None
            and position < log.log_start_offset
            and not self._store.ranges.at(log.id, position)
        ]
        starts = await self._source_starts(log for log in before if log.ended_by is None)
        for log in before:
            begin = min(log.log_start_offset, starts.get(log.id, log.log_start_offset))
            if positions[log.id] < begin and log.id not in self.failed:
                raise _out_of_range(log.id, positions[log.id], begin)

    async def _source_starts(self, logs: Iterable[PartitionLog]) -> Mapping[PartitionId, int]:
        return await self._learn(self._starts, logs, self._source.lookup.earliest_offsets)

    async def source_ends(self, logs: Iterable[PartitionLog]) -> Mapping[PartitionId, int]:
        """The source's end of each partition now; what is cached was readable, so at least that.

        Partitions that it cannot be asked about are left out; ``failed`` says why.

        Raises:
            SourceUnreachable: It does not answer at all.
        """
        logs = list(logs)
        ends = await self._learn(self._ends, logs, self._source.lookup.end_offsets)
        return {log.id: max(ends[log.id], log.log_end_offset) for log in logs if log.id in ends}

    async def _learn(
        self,
        known: dict[PartitionId, int],
        logs: Iterable[PartitionLog],
        ask: Callable[[list[TopicPartition]], Awaitable[Answers[int]]],
    ) -> Mapping[PartitionId, int]:
        missing = [log.id for log in logs if log.id not in known and log.id not in self.failed]
        if missing:
            answers = await ask([(p.topic, p.partition) for p in missing])
            for partition in missing:
                name = partition.topic, partition.partition
                if name in answers.found:
                    known[partition] = answers.found[name]
                else:
                    self.failed[partition] = answers.failed[name]
        return known

    def _entry(
        self, log: PartitionLog, start: StartRequest, subscription: Subscription
    ) -> PartitionLog:
        """The log of the incarnation to start in: one that is named, stored, or the present one."""
        if (log.id.topic, log.id.partition) in (start.positions or {}):
            return self._named(log, start) or log
        if start != StartRequest() and not start.positions:
            return log
        present = log.id
        for incarnation in range(present.incarnation, 0, -1):
            partition = replace(present, incarnation=incarnation)
            if partition in subscription.positions:
                return self._store.get(partition) or log
        return log

    def _named(self, log: PartitionLog, start: StartRequest) -> PartitionLog | None:
        name = log.id.topic, log.id.partition
        at = (start.positions or {}).get(name)
        if at is None:
            return None
        partition = partition_id(log.id.connection, name, at, log.id.incarnation)
        return self._store.get(partition)

    async def _decide(
        self, wanted: Mapping[PartitionLog, PartitionFacts]
    ) -> dict[PartitionId, int]:
        """The positions; partitions that the source cannot be asked about are left out."""
        positions: dict[PartitionId, int] = {}
        open_questions = dict(wanted)
        while open_questions:
            answers = {log: start_position(facts) for log, facts in open_questions.items()}
            ends = await self.source_ends(
                log for log, a in answers.items() if isinstance(a, NeedsSourceEnd)
            )
            starts = await self._source_starts(
                log for log, a in answers.items() if isinstance(a, NeedsSourceStart)
            )
            found = await self._look_up(
                {
                    log: a.timestamp_ms
                    for log, a in answers.items()
                    if isinstance(a, NeedsTimestampLookup)
                }
            )
            following: dict[PartitionLog, PartitionFacts] = {}
            for log, answer in answers.items():
                facts = open_questions[log]
                match answer:
                    case At(offset):
                        positions[log.id] = offset
                    case _ if log.id in self.failed:
                        continue
                    case NeedsSourceStart():
                        following[log] = replace(facts, source_start=starts[log.id])
                    case NeedsSourceEnd():
                        following[log] = replace(facts, source_end=ends[log.id])
                    case NeedsTimestampLookup():
                        following[log] = replace(facts, start=found[log])
            open_questions = following
        return positions

    async def _look_up(
        self, times: Mapping[PartitionLog, int]
    ) -> Mapping[PartitionLog, ExplicitStart]:
        """The offset at a time in each partition: from the cache, else from the source."""
        found: dict[PartitionLog, ExplicitStart] = {}
        at_source: defaultdict[int, dict[PartitionLog, int | None]] = defaultdict(dict)
        for log, timestamp_ms in times.items():
            offset = await self._store.reader.offset_at(log, timestamp_ms)
            # Older records, which are not cached, may be what was asked for; so may those without a
            # time, if the source has no others.
            if offset is None or log.log_start_offset or may_lack_times(log, offset):
                at_source[timestamp_ms][log] = offset
            else:
                found[log] = FromPosition(offset)
        for timestamp_ms, logs in at_source.items():
            answers = await self._source.lookup.offsets_at(
                [(log.id.topic, log.id.partition) for log in logs], timestamp_ms
            )
            for log, cached in logs.items():
                name = log.id.topic, log.id.partition
                if name in answers.failed:
                    self.failed[log.id] = answers.failed[name]
                    continue
                offset = answers.found[name]
                if offset == UNTIMED:
                    found[log] = FromEarliest()
                    continue
                found[log] = after_lookup(
                    first_at(cached, offset, log.log_start_offset, log.log_end_offset)
                )
        return found


def start_in_absence(
    partition: PartitionId, mode: Mode, start: StartRequest, subscription: Subscription
) -> ExplicitStart:
    """What a start means for a partition that has no log yet, once it has."""
    facts = _facts(partition, (0, 0), mode, _explicit(start, partition), subscription)
    return postponed(facts, time.time_ns() // 1_000_000)


def _facts(
    partition: PartitionId,
    bounds: tuple[int, int],
    mode: Mode,
    explicit: ExplicitStart | None,
    subscription: Subscription,
) -> PartitionFacts:
    stored = subscription.positions.get(partition)
    if explicit is None:
        explicit = subscription.awaited.get((partition.topic, partition.partition))
    return PartitionFacts(
        mode,
        explicit,
        stored,
        subscription.record.full_sync_done,
        *bounds,
        None,
        # A subscription with positions had a stream before; what it has none of came later.
        added_later=stored is None and bool(subscription.positions),
    )


def _explicit(start: StartRequest, partition: PartitionId) -> ExplicitStart | None:
    if start.earliest:
        return FromEarliest()
    if start.latest:
        return FromLatest()
    if start.timestamp_ms is not None:
        return FromTimestamp(start.timestamp_ms)
    at = (start.positions or {}).get((partition.topic, partition.partition))
    return None if at is None else FromPosition(at.offset)


def _has_to_be_stored(facts: PartitionFacts, stored: int | None, position: int) -> bool:
    """Whether a start has to be durable.

    A start at a moving end has: after a crash, "the end" would be a later one and what lies between
    would be lost. A start before the stored position has: it is a step back on purpose. No other
    has: a client that reconnects asks for what it has received, which it has not yet committed.
    """
    if stored is not None:
        return position < stored
    return position > facts.log_start and not isinstance(facts.start, FromPosition)


def _out_of_range(partition: PartitionId, begin: int, end: int) -> DataLoss:
    return DataLoss(
        f"{partition}: offsets [{begin}, {end}) are no longer cached, and the source does not have "
        "them either; reset the subscription to the earliest offset",
        reason=GapCause.CACHE_RETENTION.name,
        metadata={
            "topic": partition.topic,
            "partition": partition.partition,
            "begin_offset": begin,
            "end_offset": end,
        },
    )
