"""Leaders, topic ids, and offsets that no fetch tells."""

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable
from functools import partial
from typing import Any

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.cluster import (
    EARLIEST_TIMESTAMP,
    LATEST_TIMESTAMP,
    READ_COMMITTED,
    READ_UNCOMMITTED,
    Cluster,
    error_name,
)
from cachesvc.mining.kafka.fetch_state import UNKNOWN_TOPIC_OR_PARTITION, FetchState
from cachesvc.mining.kafka.leaders import Leaders
from cachesvc.mining.kafka.links import RequestUnknown
from cachesvc.mining.kafka.topic_metadata import Metadata
from cachesvc.mining.source import ProblemReason, SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

# What has changed is told by fetches; a round over everything is caution, and each partition of it
# costs tens of microseconds. So one round looks at so many, and goes on there the next time.
_ROUND_PARTITIONS = 500
# One answer is decoded in one go, while nothing else happens.
_TOPICS_AT_ONCE = 200


class Survey:
    """Asks the cluster what the states of partitions need to know, and tells them.

    Args:
        cluster: Whom to ask.
        interval_s: Between two rounds for caution, and the age from which high watermarks that no
            fetch tells are asked for again.
        settle: Called for every state that may have changed.

    Attributes:
        wanted: Set when there is a reason to look.
    """

    def __init__(
        self, cluster: Cluster, interval_s: float, settle: Callable[[FetchState], None]
    ) -> None:
        self._cluster = cluster
        self._leaders = Leaders(cluster)
        self._interval_s = interval_s
        self._settle = settle
        self._topics: OrderedDict[str, dict[int, FetchState]] = OrderedDict()
        self._doubtful: set[FetchState] = set()
        self._round_s = float("-inf")
        self.wanted = asyncio.Event()

    @property
    def doubtful(self) -> bool:
        """Whether there is something to look at before a round is due."""
        return bool(self._doubtful)

    def add(self, state: FetchState) -> None:
        """Looks at a state as soon as possible, and from time to time."""
        topic, number = state.partition
        self._topics.setdefault(topic, {})[number] = state
        self.doubt(state)

    def remove(self, state: FetchState) -> None:
        """Looks at a state no more."""
        topic, number = state.partition
        del self._topics[topic][number]
        if not self._topics[topic]:
            del self._topics[topic]
        self._doubtful.discard(state)

    def doubt(self, state: FetchState) -> None:
        """Looks at a state that was added, as soon as possible."""
        self._doubtful.add(state)
        self.wanted.set()

    async def look(self, untold: Collection[FetchState] = ()) -> None:
        """Asks once about whatever is doubtful or due.

        Args:
            untold: States whose high watermark no fetch tells.

        Raises:
            SourceUnreachable: The brokers do not answer; states are left as they are.
        """
        doubtful, self._doubtful = self._doubtful, set()
        try:
            topics = list({state.partition.topic: None for state in doubtful})
            if (now_s := time.monotonic()) >= self._round_s + self._interval_s:
                topics = list(dict.fromkeys([*topics, *self._next_round()]))
                self._round_s = now_s
            for begin in range(0, max(len(topics), 1), _TOPICS_AT_ONCE):
                await self._look_at(topics[begin : begin + _TOPICS_AT_ONCE])
        except SourceUnreachable:
            self._doubtful |= {state for state in doubtful if self._knows(state)}
            raise
        oldest_s = time.monotonic() - self._interval_s
        await self._watermarks(state for state in untold if state.watermark_s < oldest_s)

    def _next_round(self) -> list[str]:
        topics, partitions = [], 0
        for topic, states in self._topics.items():
            topics.append(topic)
            partitions += len(states)
            if partitions >= _ROUND_PARTITIONS:
                break
        for topic in topics:
            self._topics.move_to_end(topic)
        return topics

    def _knows(self, state: FetchState) -> bool:
        topic, number = state.partition
        return self._topics.get(topic, {}).get(number) is state

    async def _look_at(self, topics: Collection[str]) -> None:
        metadata = await self._cluster.metadata(topics)
        states = [state for topic in topics for state in self._topics.get(topic, {}).values()]
        for state in states:
            self._identify(state, metadata)
        await self._locate(state for state in states if state.offset < 0 or state.out_of_range)
        await self._compare(state for state in states if state.unproven)
        await self._watermarks(state for state in states if state.high_watermark is None)
        for state in states:
            self._look_again(state)

    def _look_again(self, state: FetchState) -> None:
        if state.unsettled and self._knows(state):
            self._doubtful.add(state)
        self._settle(state)

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
        leader = topic.leaders[state.partition.number]
        state.node = leader if leader >= 0 else None
        if state.node is None:
            state.fail(ProblemReason.SOURCE_ERROR, "it has no leader at the moment")
            state.suspect = True
        elif state.problem and not state.problem.reason.away:
            # That its leader can be reached is for the leader to show.
            state.works()

    async def _locate(self, states: Iterable[FetchState]) -> None:
        async def locate(leader: int, led: list[FetchState]) -> None:
            earliest = await self._offsets(leader, led, EARLIEST_TIMESTAMP)
            end = await self._offsets(leader, led, LATEST_TIMESTAMP, READ_UNCOMMITTED)
            for state in led:
                # An answer may come late, when the state has been located by another one.
                lost = state.offset < 0 or state.out_of_range
                if lost and state.partition in earliest and state.partition in end:
                    state.works()
                    state.locate(earliest[state.partition], end[state.partition])

        await self._ask_leaders(states, locate)

    async def _compare(self, states: Iterable[FetchState]) -> None:
        """Nothing is fetched from a leader before it has shown that it continues the log."""

        async def compare(leader: int, led: list[FetchState]) -> None:
            asked = {state.partition: (state.leader_epoch, state.epoch) for state in led}
            try:
                answers = await self._cluster.epoch_ends(leader, asked)
            except RequestUnknown:
                for state in led:
                    state.prove(state.leader_epoch)
                return
            for state in led:
                error_code, found_epoch, end_offset = answers[state.partition]
                if error_code:
                    state.refuse(error_code, error_name(error_code))
                elif asked[state.partition] == (state.leader_epoch, state.epoch):
                    state.works()
                    state.compare(state.leader_epoch, found_epoch, end_offset)

        await self._ask_leaders(states, compare)

    async def _watermarks(self, states: Iterable[FetchState]) -> None:
        async def watermarks(leader: int, led: list[FetchState]) -> None:
            found = await self._offsets(leader, led, LATEST_TIMESTAMP)
            now_s = time.monotonic()
            for state in led:
                if state.partition in found:
                    state.note_watermark(found[state.partition], now_s)
                    if state.paused:
                        state.works()  # no fetch will show it
                self._look_again(state)

        await self._ask_leaders(states, watermarks)

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

    async def _ask_leaders(
        self,
        states: Iterable[FetchState],
        ask: Callable[[int, list[FetchState]], Coroutine[Any, Any, None]],
    ) -> None:
        """Asks the leaders side by side; one that does not answer holds up what it leads only."""
        by_leader: defaultdict[int, list[FetchState]] = defaultdict(list)
        for state in states:
            if not state.suspect and not state.given_up and state.node is not None:
                by_leader[state.node].append(state)
        answers = await self._leaders.ask(
            {leader: partial(ask, leader, led) for leader, led in by_leader.items()}
        )
        for leader, error in answers.items():
            if error is not None:
                for state in by_leader[leader]:
                    state.fail_by(error)
                    self._settle(state)
                    if self._knows(state):
                        self._doubtful.add(state)

    async def close(self) -> None:
        """Drops questions that are under way. Idempotent."""
        await self._leaders.close()
