"""Readers that have joined, and what they have."""

import asyncio
import math
from dataclasses import dataclass, field

from cachesvc.model import TopicId
from cachesvc.policy.spacing import SPACING_MS
from cachesvc.request_ids import current_request_id


@dataclass(frozen=True, slots=True)
class Assigned:
    """A topic in a reader's hands.

    Attributes:
        topic: Which incarnation of which topic.
        epoch: The newest.
        partitions: All partition numbers.
        source_id: The cluster's own id of it; empty where it has none.
        from_earliest: Whether mining of an empty log begins wherever the source does, and not at
            the log's start.
        missing: Partitions with something older to be mined, and where the lowest of it ends.
        attempts: Partitions that were tried again, and how often.
    """

    topic: TopicId
    epoch: int
    partitions: tuple[int, ...]
    source_id: str = ""
    from_earliest: bool = True
    missing: tuple[tuple[int, int], ...] = ()
    attempts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ReaderFigures:
    """What a reader process says of itself; totals are since it joined, but for ``cpu_s``.

    Attributes:
        cpu_s: Seconds of CPU since the process began.
        resident_bytes: Its resident memory; 0 where its system does not tell.
        open_files: Its open file descriptors; 0 where its system does not tell.
        fetches: Answers of brokers to fetches.
        fetches_failed: Fetches that brought no such answer.
        fetched_bytes: Bytes of record batches that they brought.
        busy_s: Seconds spent on decoding, encoding and sending.
        unacknowledged_bytes: Bytes of appends that the service has not acknowledged.
    """

    cpu_s: float = 0.0
    resident_bytes: int = 0
    open_files: int = 0
    fetches: int = 0
    fetches_failed: int = 0
    fetched_bytes: int = 0
    busy_s: float = 0.0
    unacknowledged_bytes: int = 0


@dataclass(slots=True, eq=False)
class JoinedReader:
    """A reader process that has joined.

    Attributes:
        name: Its own.
        connection: What it mines.
        pid: Its process.
        host: Where it is, as its connection tells; empty on this machine by the store's socket.
        joined_ms: When.
        heard_s: When it was last heard of, on the monotonic clock.
        assigned: Its topics.
        source_error: Why it does not reach the brokers; empty while it does.
        throttled_ms: For how long quotas have held its fetches up since it joined.
        figures: What it says of itself; None before its first report.
        cut_off_s: Since when it does not, on the monotonic clock; infinite while it does.
        cluster_id: Of the cluster that its topics are mined from; empty where that is not known.
        fetch_spacing_ms: How far apart its fetches of few records are.
        changed: Set when ``assigned``, the cluster or the spacing has changed.
        told_for: The id of the call that led to that, if it was one.
    """

    name: str
    connection: str
    pid: int
    joined_ms: int
    heard_s: float
    host: str = ""
    assigned: dict[str, Assigned] = field(default_factory=dict)
    cluster_id: str = ""
    fetch_spacing_ms: int = SPACING_MS
    source_error: str = ""
    throttled_ms: int = 0
    figures: ReaderFigures | None = None
    cut_off_s: float = math.inf
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    told_for: str = ""

    def tell(self) -> None:
        """Has the reader told of what has changed."""
        self.told_for = current_request_id()
        self.changed.set()
