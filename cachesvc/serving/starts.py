"""Where a stream starts and ends: asks the policy, and the source where the policy needs it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cachesvc.errors import DataLoss, InvalidRequest
from cachesvc.log.estimates import may_lack_times
from cachesvc.log.log_store import LogStore
from cachesvc.log.lookup import UNTIMED
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.sources import Source
from cachesvc.log.subscriptions import Subscription
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
    start_position,
)
from cachesvc.serving.convert import StartRequest, partition_id


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a stream starts.

    Attributes:
        positions: The first offset to deliver, per partition.
        to_store: Those of them that have to be durable before anything is delivered.
    """

    positions: Mapping[PartitionId, int]
    to_store: Mapping[PartitionId, int]


class Starts:
    """Resolves positions of one connection's partitions.

    Args:
        store: Holds the logs.
        source: Is asked for its ends, its starts and offsets at a time, at most once each.
    """

    def __init__(self, store: LogStore, source: Source) -> None:
        self._store = store
        self._source = source
        self._ends: dict[PartitionId, int] = {}
        self._starts: dict[PartitionId, int] = {}

    async def resolve(
        self,
        logs: Iterable[PartitionLog],
        mode: Mode,
        start: StartRequest,
        subscription: Subscription,
    ) -> Resolved:
        """Where a subscriber starts in each partition.

        That is in the life of a topic that the position is of, which may be over. A position that
        cannot be given is answered as it is: the stream tells the gap.

        Raises:
            InvalidRequest: A position names a life that the topic has not come to.
            SourceUnreachable: The source has to be asked and does not answer.
        """
        entries = [self._entry(log, start, subscription) for log in logs]
        wanted = {
            log: self._facts(log, mode, _explicit(start, log), subscription) for log in entries
        }
        positions = await self._decide(wanted)
        stored = subscription.positions
        to_store = {
            log.id: positions[log.id]
            for log, facts in wanted.items()
            if _has_to_be_stored(facts, stored.get(log.id), positions[log.id])
        }
        return Resolved(positions, to_store)

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
            explicit = _explicit(start, log)
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
        return positions

    async def _check_in_range(
        self, logs: Iterable[PartitionLog], positions: Mapping[PartitionId, int]
    ) -> None:
        """Refuses positions whose records nobody has any more."""
        for log in logs:
            position = positions[log.id]
            if position >= log.log_start_offset or self._store.stretches.at(log.id, position):
                continue
            begin = log.log_start_offset
            if log.ended_by is None:
                begin = min(begin, (await self._source_starts([log]))[log.id])
            if position < begin:
                raise _out_of_range(log.id, position, begin)

    async def _source_starts(self, logs: Iterable[PartitionLog]) -> Mapping[PartitionId, int]:
        logs = list(logs)
        missing = [log.id for log in logs if log.id not in self._starts]
        if missing:
            asked = [(p.topic, p.partition) for p in missing]
            found = await self._source.lookup.earliest_offsets(asked)
            self._starts.update({p: found[p.topic, p.partition] for p in missing})
        return {log.id: self._starts[log.id] for log in logs}

    async def source_ends(self, logs: Iterable[PartitionLog]) -> Mapping[PartitionId, int]:
        """The source's end of each partition now; what is cached was readable, so at least that.

        Raises:
            SourceUnreachable: It does not answer.
        """
        logs = list(logs)
        missing = [log.id for log in logs if log.id not in self._ends]
        if missing:
            found = await self._source.lookup.end_offsets([(p.topic, p.partition) for p in missing])
            self._ends.update({p: found[p.topic, p.partition] for p in missing})
        return {log.id: max(self._ends[log.id], log.log_end_offset) for log in logs}

    def _entry(
        self, log: PartitionLog, start: StartRequest, subscription: Subscription
    ) -> PartitionLog:
        """The log of the life in which a subscriber starts: a named, a stored, or the present."""
        if start.positions and (named := self._named(log, start)) is not None:
            return named
        if start != StartRequest():
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

    def _facts(
        self,
        log: PartitionLog,
        mode: Mode,
        explicit: ExplicitStart | None,
        subscription: Subscription,
    ) -> PartitionFacts:
        stored = subscription.positions.get(log.id)
        return PartitionFacts(
            mode,
            explicit,
            stored,
            subscription.record.full_sync_done,
            log.log_start_offset,
            log.log_end_offset,
            None,
            # A subscription with positions had a stream before; what it has none of came later.
            added_later=stored is None and bool(subscription.positions),
        )

    async def _decide(
        self, wanted: Mapping[PartitionLog, PartitionFacts]
    ) -> dict[PartitionId, int]:
        positions: dict[PartitionId, int] = {}
        open_questions = dict(wanted)
        while open_questions:
            answers = {log: start_position(facts) for log, facts in open_questions.items()}
            ends_needed = [log for log, a in answers.items() if isinstance(a, NeedsSourceEnd)]
            ends = await self.source_ends(ends_needed) if ends_needed else {}
            starts_needed = [log for log, a in answers.items() if isinstance(a, NeedsSourceStart)]
            starts = await self._source_starts(starts_needed) if starts_needed else {}
            lookups = {
                log: a.timestamp_ms
                for log, a in answers.items()
                if isinstance(a, NeedsTimestampLookup)
            }
            found = await self._look_up(lookups) if lookups else {}
            following: dict[PartitionLog, PartitionFacts] = {}
            for log, answer in answers.items():
                facts = open_questions[log]
                match answer:
                    case At(offset):
                        positions[log.id] = offset
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
        at_source: dict[PartitionLog, int | None] = {}
        for log, timestamp_ms in times.items():
            offset = await self._store.reader.offset_at(log, timestamp_ms)
            # Older records, which are not cached, may be what was asked for; so may those without a
            # time, if the source has no others.
            if offset is None or log.log_start_offset or may_lack_times(log, offset):
                at_source[log] = offset
            else:
                found[log] = FromPosition(offset)
        if at_source:
            timestamp_ms = times[next(iter(at_source))]
            offsets = await self._source.lookup.offsets_at(
                [(log.id.topic, log.id.partition) for log in at_source], timestamp_ms
            )
            for log, cached in at_source.items():
                offset = offsets.get((log.id.topic, log.id.partition))
                if offset == UNTIMED:
                    found[log] = FromEarliest()
                    continue
                found[log] = after_lookup(
                    first_at(cached, offset, log.log_start_offset, log.log_end_offset)
                )
        return found


def _explicit(start: StartRequest, log: PartitionLog) -> ExplicitStart | None:
    if start.earliest:
        return FromEarliest()
    if start.latest:
        return FromLatest()
    if start.timestamp_ms is not None:
        return FromTimestamp(start.timestamp_ms)
    at = (start.positions or {}).get((log.id.topic, log.id.partition))
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
