"""Whatever fails whenever: no record lost or twice, no commit beyond what was handed out.

The model is a list: what the caller has taken, in order. After every step the stream's position
and what the service has stored are compared with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.client import (
    Client,
    Encoding,
    Mode,
    Position,
    PositionNotDelivered,
    Positions,
    Record,
    Stream,
)
from tests.client import fake_log
from tests.client.fake_log import Key, Logs
from tests.client.fake_server import BEFORE_STARTED, FakeLogCache, Fault
from tests.client.running import QUICK, connected

FAULTS = [
    (StatusCode.UNAVAILABLE, ""),
    (StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
    (StatusCode.CANCELLED, ""),
    (StatusCode.UNKNOWN, ""),
    (StatusCode.OK, ""),
]

logs_of_offsets = st.lists(
    st.sets(st.integers(0, 60), max_size=25).map(sorted), min_size=1, max_size=3
).map(lambda partitions: {("orders", number): log for number, log in enumerate(partitions)})

faults = st.lists(
    st.builds(
        lambda after, status: Fault(after, *status),
        st.integers(BEFORE_STARTED, 6),
        st.sampled_from(FAULTS),
    ),
    max_size=8,
)


@dataclass
class Step:
    """One thing a caller does.

    Attributes:
        kind: "batch", "records" (take some, one by one), "commit", "commit what is in hand".
        count: How many records.
    """

    kind: str
    count: int


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["batch", "records", "records", "commit", "commit what is in hand"]),
        st.integers(1, 12),
    ),
    min_size=1,
    max_size=6,
)


@dataclass
class Model:
    """What the caller has taken."""

    cache: FakeLogCache
    start: Positions
    taken: list[Record] = field(default_factory=list)
    ends: dict[Key, int] = field(default_factory=dict)
    stored: dict[Key, int] = field(default_factory=dict)
    in_hand: Record | None = None

    def took(self, records: Sequence[Record], next_position: int | None = None) -> None:
        self.taken += records
        for record in records:
            self.ends[record.topic, record.partition] = record.offset + 1
        if records and next_position is not None:
            self.ends[records[0].topic, records[0].partition] = next_position

    def committed(self, positions: Mapping[Key, int]) -> None:
        for key, offset in positions.items():
            self.stored[key] = max(offset, self.stored.get(key, offset))

    def covered(self) -> dict[Key, int]:
        positions = {key: position.offset for key, position in self.start.items()} | self.ends
        if self.in_hand is not None:
            positions[self.in_hand.topic, self.in_hand.partition] = self.in_hand.offset
        return positions

    def check(self, stream: Stream) -> None:
        position = {key: each.offset for key, each in stream.position.items()}
        assert position == self.covered()
        assert self.cache.subscriptions["billing"].positions == self.stored


async def play(client: Client, stream: Stream, model: Model, script: Sequence[Step]) -> bool:
    """Do all steps; say whether the stream is complete."""
    for step in script:
        match step.kind:
            case "batch":
                batch = await anext(aiter(stream), None)
                if batch is None:
                    return True
                model.in_hand = None
                model.took(batch.records(), batch.next_position)
            case "records":
                records = stream.records()
                for _ in range(step.count):
                    record = await anext(records, None)
                    if record is None:
                        model.in_hand = None
                        return True
                    model.took([record])
                    model.in_hand = record
                    model.check(stream)
                await records.aclose()
            case "commit":
                await stream.commit()
                model.committed(model.covered())
            case "commit what is in hand" if model.in_hand is not None:
                position = model.in_hand.position
                await stream.commit(position)
                model.committed({position.key: position.offset})
                with pytest.raises(PositionNotDelivered):
                    await stream.commit(Position(*position.key, position.offset + 1))
        model.check(stream)
    return False


@settings(max_examples=120, deadline=None)
@given(
    offsets=logs_of_offsets,
    lost=faults,
    refused=st.lists(st.sampled_from([None, Fault()]), max_size=4),
    script=steps,
    batch_records_max=st.integers(1, 9),
    rewind=st.integers(0, 9),
    encoding=st.sampled_from(Encoding),
)
def test_no_record_lost_or_twice_and_no_commit_too_far(
    offsets: dict[Key, list[int]],
    lost: list[Fault],
    refused: list[Fault | None],
    script: list[Step],
    batch_records_max: int,
    rewind: int,
    encoding: Encoding,
) -> None:
    async def scenario() -> None:
        cache = FakeLogCache(Logs(offsets), batch_records_max=batch_records_max, rewind=rewind)
        cache.faults.extend(lost)
        cache.commit_faults.extend(refused)
        async with (
            connected(cache) as client,
            client.subscribe(
                "billing", topics="orders", mode=Mode.FULL, encoding=encoding, settings=QUICK
            ) as stream,
        ):
            model = Model(cache, stream.position)
            complete = False
            while not complete:
                complete = await play(client, stream, model, [*script, Step("records", 2)])
            await stream.commit()
        for key, expected in offsets.items():
            taken = [each for each in model.taken if (each.topic, each.partition) == key]
            assert [each.offset for each in taken] == expected
            assert [each.value for each in taken] == [fake_log.value(key, at) for at in expected]
        ends = {key: log[-1] + 1 if log else 0 for key, log in offsets.items()}
        assert cache.subscriptions["billing"].positions == ends
        assert cache.subscriptions["billing"].full_sync_done

    asyncio.run(asyncio.wait_for(scenario(), 30))
