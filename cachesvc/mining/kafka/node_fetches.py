"""What is fetched from one broker: which partitions, how much, and when not. No I/O."""

import asyncio
from dataclasses import dataclass, field

from cachesvc.backoff import Backoff
from cachesvc.mining.kafka.fetch_session import FetchSession, Naming
from cachesvc.mining.kafka.fetch_state import FetchState
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.fetch_size import FetchSize
from cachesvc.policy.throttling import Throttling

# Below this much in the buffer, fetching ahead costs more requests than it saves time.
_AHEAD_BYTES_MIN = 256 << 10


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request to one broker.

    Attributes:
        naming: What it says of partitions.
        bytes_max: For the whole answer.
        wait_s: How long the broker may wait for records.
    """

    naming: Naming
    bytes_max: int
    wait_s: float


@dataclass(slots=True, eq=False)
class NodeFetches:
    """One broker, which gets one fetch at a time.

    ``hold`` has to hear of everything that changes about a state that is led by it.

    Attributes:
        number: Of the broker.
        size: How much a fetch asks for.
        session: What the broker knows of what is wanted.
        throttling: What it said of its quotas.
        cut_bytes: The size of a record batch that did not fit into its last answer; 0 if all did.
        throttled: What was last made of that for people; empty while it does not throttle.
        backoff: Between fetches that fail.
        changed: Set when there may be something to fetch.
        answered_s: When it last answered, on the monotonic clock.
    """

    number: int
    size: FetchSize
    session: FetchSession = field(default_factory=FetchSession)
    throttling: Throttling = field(default_factory=Throttling)
    cut_bytes: int = 0
    throttled: str = ""
    backoff: Backoff = field(default_factory=Backoff)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    answered_s: float = float("-inf")
    _troubled: dict[SourcePartition, FetchState] = field(default_factory=dict)
    _ahead: dict[SourcePartition, int] = field(default_factory=dict)
    _ahead_bytes: int = 0
    _dry: bool = False

    @property
    def busy(self) -> bool:
        """Whether anything is fetched from it, or was and is not polled yet."""
        return bool(self.session.wanted or self._ahead)

    def hold(self, state: FetchState) -> None:
        """Fetches a state that it leads, or not, as the state wants it now."""
        held = 0 if state.buffered is None else state.buffered.encoded_bytes
        self._count(state.partition, held)
        if state.fetchable:
            self.session.want(state.partition, state.asked)
            if state.problem is not None:
                self._troubled[state.partition] = state
        else:
            self.session.drop(state.partition)
        self.changed.set()

    def release(self, partition: SourcePartition) -> None:
        """Fetches a partition no more. Idempotent."""
        self._count(partition, 0)
        self._troubled.pop(partition, None)
        self.session.drop(partition)
        self.changed.set()

    def _count(self, partition: SourcePartition, held_bytes: int) -> None:
        self._ahead_bytes += held_bytes - self._ahead.pop(partition, 0)
        if held_bytes:
            self._ahead[partition] = held_bytes

    def next_fetch(self, budget: int, wait_s: float) -> Fetch | None:
        """The fetch to send now, if there is room for what it brings.

        Args:
            budget: How much may be fetched and not yet polled.
            wait_s: How long the broker may wait for records if there is nothing else to do.
        """
        ahead = self._ahead_bytes
        if not ahead:
            self._dry = False
        elif self._dry or not _AHEAD_BYTES_MIN <= ahead <= budget // 2:
            return None
        if not self.session.wanted:
            return None
        bytes_max = min(self.size.fitting(self.cut_bytes), budget - ahead)
        return Fetch(self.session.request(), bytes_max, 0.0 if ahead else wait_s)

    def take_troubled(self) -> list[FetchState]:
        """States with a problem that its answer to the last fetch has shown to be over.

        An answer names only what has news.
        """
        over = []
        for partition, state in self._troubled.items():
            asked = self.session.asked(partition)
            if asked is not None and asked.generation == state.generation:
                over.append(state)
        for state in over:
            del self._troubled[state.partition]
        return over

    def brought_nothing_ahead(self) -> None:
        """Nothing more is fetched before everything that is buffered was polled."""
        self._dry = True
