"""Leaders, topic ids, and offsets that no fetch tells."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from cachesvc.mining.kafka.cluster import (
    EARLIEST_TIMESTAMP,
    LATEST_TIMESTAMP,
    READ_COMMITTED,
    READ_UNCOMMITTED,
    Cluster,
    RequestUnknown,
    error_name,
)
from cachesvc.mining.kafka.fetch_state import UNKNOWN_TOPIC_OR_PARTITION, FetchState
from cachesvc.mining.kafka.topic_metadata import Metadata
from cachesvc.mining.source import ProblemReason, SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH


class Survey:
    """Asks the cluster what the states of partitions need to know, and tells them.

    Attributes:
        leaders: The node to fetch each partition from.
    """

    def __init__(
        self,
        cluster: Cluster,
        states: Mapping[SourcePartition, FetchState],
        watermark_age_s_max: float,
    ) -> None:
        self._cluster = cluster
        self._states = states
        self._watermark_age_s_max = watermark_age_s_max
        self.leaders: dict[SourcePartition, int] = {}

    async def look(self) -> None:
        """Asks once.

        Raises:
            SourceUnreachable: The brokers do not answer; states are left as they are.
        """
        states = list(self._states.values())
        metadata = await self._cluster.metadata({state.partition.topic for state in states})
        self.leaders = {
            SourcePartition(name, number): leader
            for name, topic in metadata.topics.items()
            for number, leader in topic.leaders.items()
            if leader >= 0
        }
        for state in states:
            self._identify(state, metadata)
        await self._locate(state for state in states if state.offset < 0 or state.out_of_range)
        await self._compare(state for state in states if state.unproven)
        oldest_s = time.monotonic() - self._watermark_age_s_max
        await self._watermarks(state for state in states if state.watermark_s < oldest_s)

    def _identify(self, state: FetchState, metadata: Metadata) -> None:
        topic = metadata.topics.get(state.partition.topic)
        error_code = UNKNOWN_TOPIC_OR_PARTITION if topic is None else topic.error_code
        if topic is not None and not error_code and state.partition.number not in topic.leaders:
            error_code = UNKNOWN_TOPIC_OR_PARTITION
        if topic is None or error_code:
            state.refuse(error_code, error_name(error_code))
            return
        state.identify(topic.topic_id)
        state.leader_epoch = topic.leader_epochs.get(state.partition.number, UNKNOWN_EPOCH)
        if state.partition not in self.leaders:
            state.fail(ProblemReason.SOURCE_ERROR, "it has no leader at the moment")
            state.suspect = True
        elif state.problem and not state.problem.reason.away:
            # That its leader can be reached is for a fetch to show.
            state.works()

    async def _locate(self, states: Iterable[FetchState]) -> None:
        for leader, led in self._by_leader(states).items():
            earliest = await self._offsets(leader, led, EARLIEST_TIMESTAMP)
            end = await self._offsets(leader, led, LATEST_TIMESTAMP, READ_UNCOMMITTED)
            for state in led:
                if state.partition in earliest and state.partition in end:
                    state.locate(earliest[state.partition], end[state.partition])

    async def _compare(self, states: Iterable[FetchState]) -> None:
        """Nothing is fetched from a leader before it has shown that it continues the log."""
        for leader, led in self._by_leader(states).items():
            asked = {state.partition: (state.leader_epoch, state.epoch) for state in led}
            try:
                answers = await self._cluster.epoch_ends(leader, asked)
            except RequestUnknown:
                for state in led:
                    state.prove(state.leader_epoch)
                continue
            for state in led:
                error_code, found_epoch, end_offset = answers[state.partition]
                if error_code:
                    state.refuse(error_code, error_name(error_code))
                elif asked[state.partition] == (state.leader_epoch, state.epoch):
                    state.compare(state.leader_epoch, found_epoch, end_offset)

    async def _watermarks(self, states: Iterable[FetchState]) -> None:
        for leader, led in self._by_leader(states).items():
            found = await self._offsets(leader, led, LATEST_TIMESTAMP)
            now_s = time.monotonic()
            for state in led:
                if state.partition in found:
                    state.note_watermark(found[state.partition], now_s)

    async def _offsets(
        self, leader: int, states: list[FetchState], timestamp: int, isolation: int = READ_COMMITTED
    ) -> dict[SourcePartition, int]:
        asked = {state.partition: timestamp for state in states}
        answers = await self._cluster.offsets(leader, asked, isolation)
        found = {}
        for state in states:
            error_code, offset = answers[state.partition]
            if error_code:
                state.refuse(error_code, error_name(error_code))
            else:
                found[state.partition] = offset
        return found

    def _by_leader(self, states: Iterable[FetchState]) -> dict[int, list[FetchState]]:
        led = defaultdict(list)
        for state in states:
            if not state.suspect and not state.given_up:
                led[self.leaders[state.partition]].append(state)
        return led
