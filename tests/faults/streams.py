"""What a task is told when its topic changes, as plain values."""

from __future__ import annotations

import asyncio

from cachesvc.client import (
    Batch,
    Bootstrap,
    Client,
    DataLoss,
    Gap,
    GapCause,
    GapPolicy,
    Mode,
    PartitionAdded,
    Position,
    Progress,
)

PATIENCE_S = 120


class Seen:
    """What one stream told of one partition.

    Attributes:
        records: Incarnation, offset and value of each record, in the order of delivery.
        gaps: Incarnation, begin, end and cause of each gap.
        incarnations: Incarnation and offset of each start in another incarnation.
        failure: What the stream ended with.
    """

    def __init__(self) -> None:
        self.records: list[tuple[int, int, bytes | None]] = []
        self.gaps: list[tuple[int, int, int, GapCause]] = []
        self.incarnations: list[tuple[int, int]] = []
        self.failure: DataLoss | None = None

    def offsets(self, incarnation: int = 1) -> list[int]:
        return [offset for of, offset, _ in self.records if of == incarnation]

    def values(self, incarnation: int = 1) -> list[bytes | None]:
        return [value for of, _, value in self.records if of == incarnation]


async def read(
    address: str,
    topic: str,
    count: int,
    policy: GapPolicy = GapPolicy.STOP,
    name: str = "task",
    *,
    mode: Mode = Mode.FULL_AND_INCREMENTAL,
    commit: bool = False,
    partition: int = 0,
    last: tuple[int, int] | None = None,
    connection: str = "",
) -> Seen:
    """Streams until so many records of a partition have come, or the stream has failed.

    Or until ``last``, an incarnation and an offset, has come.
    """
    seen = Seen()
    async with asyncio.timeout(PATIENCE_S), Client(address) as client:
        try:
            async with client.subscribe(
                name, mode=mode, topics=[topic], gap_policy=policy, connection=connection
            ) as stream:
                async for event in stream.events():
                    match event:
                        case Batch() | Gap() if event.partition != partition:
                            continue
                        case PartitionAdded() if event.start.partition != partition:
                            continue
                        case Batch():
                            for record in event:
                                incarnation = event.incarnation
                                seen.records.append((incarnation, record.offset, record.value))
                        case Gap():
                            begin, end = event.begin_offset, event.end_offset
                            seen.gaps.append((event.incarnation, begin, end, event.cause))
                        case PartitionAdded():
                            seen.incarnations.append((event.start.incarnation, event.start.offset))
                        case Progress():
                            pass
                    if len(seen.records) >= count:
                        break
                    if last is not None and seen.records and seen.records[-1][:2] >= last:
                        break
                if commit:
                    await stream.commit()
        except DataLoss as failure:
            seen.failure = failure
    return seen


async def beyond_gaps(
    address: str, topic: str, bootstrap: Bootstrap = Bootstrap.NONE
) -> tuple[list[tuple[int, bytes | None]], list[Gap]]:
    """Offsets and values of all that there is of a topic's first partition, and every gap."""
    seen: list[tuple[int, bytes | None]] = []
    gaps: list[Gap] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(address) as client,
        client.subscribe(
            f"beyond-gaps-{bootstrap.name}",
            topics=[topic],
            mode=Mode.FULL,
            start=[Position(topic, 0, 0)] if bootstrap is Bootstrap.NONE else None,
            gap_policy=GapPolicy.GO_ON,
            bootstrap=bootstrap,
        ) as stream,
    ):
        async for event in stream.events():
            if isinstance(event, Batch):
                seen += [(record.offset, record.value) for record in event]
            elif isinstance(event, Gap):
                gaps.append(event)
    return seen, gaps
