"""What sync tasks see: drains streams into plain values."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from cachesvc.client import Batch, Client, Encoding, Ended, Mode, Started
from tests.support.reading import read_all

PATIENCE_S = 120.0
"""A machine that is busy with other things is slow, not wrong."""
Seen = dict[int, list[tuple[int, bytes | None]]]
"""(offset, value) in the order of delivery, by partition number."""


@dataclass(slots=True)
class Delivered:
    """What a stream gave.

    Attributes:
        records: By topic and partition number.
        started: The first event.
        ended: The last event of a complete stream.
        batches: Number of batches.
    """

    records: dict[tuple[str, int], list[tuple[int, bytes | None]]] = field(default_factory=dict)
    started: Started | None = None
    ended: Ended | None = None
    batches: int = 0

    def add(self, batch: Batch) -> None:
        """Enters a batch."""
        rows = self.records.setdefault((batch.topic, batch.partition), [])
        rows.extend((record.offset, record.value) for record in batch)
        self.batches += 1

    def of(self, topic: str) -> Seen:
        """The records of one topic."""
        return {number: rows for (name, number), rows in self.records.items() if name == topic}

    @property
    def count(self) -> int:
        """Records in all."""
        return sum(map(len, self.records.values()))


async def full(
    address: str,
    subscription: str,
    topic: str,
    *,
    connection: str = "",
    commit: bool = False,
    timeout_s: float = PATIENCE_S,
    encoding: Encoding = Encoding.ARROW_IPC,
    token: str | None = None,
) -> Delivered:
    """Everything that the source has now, by a FULL stream."""
    delivered = Delivered()
    async with (
        asyncio.timeout(timeout_s),
        Client(address, token=token) as client,
        client.subscribe(
            subscription,
            connection=connection,
            topics=[topic],
            mode=Mode.FULL,
            encoding=encoding,
        ) as stream,
    ):
        async for event in stream.events():
            if isinstance(event, Started):
                delivered.started = event
            elif isinstance(event, Batch):
                delivered.add(event)
                if commit:
                    await stream.commit(event.position)
            elif isinstance(event, Ended):
                delivered.ended = event
        if commit and delivered.ended is not None:
            await stream.commit(delivered.ended.positions)
    return delivered


async def until(
    address: str,
    subscription: str,
    topic: str,
    ends: Mapping[int, int],
    *,
    mode: Mode = Mode.FULL_AND_INCREMENTAL,
    timeout_s: float = PATIENCE_S,
) -> Delivered:
    """Follows a topic until each partition has reached its end, without committing."""
    delivered = Delivered()
    reached = dict.fromkeys(ends, 0)
    async with (
        asyncio.timeout(timeout_s),
        Client(address) as client,
        client.subscribe(subscription, topics=[topic], mode=mode) as stream,
    ):
        async for batch in stream:
            delivered.add(batch)
            reached[batch.partition] = batch.position.offset
            if all(reached[number] >= end for number, end in ends.items()):
                return delivered
    return delivered


async def expect_same(address: str, bootstrap: str, topic: str) -> None:
    """That a FULL stream gives every field of every JSON object and tombstone that the broker has.

    Raises:
        AssertionError: It does not.
    """
    truth = await asyncio.to_thread(read_all, bootstrap, topic)
    rejected = {n: [r for r in rows if not is_json_object(r.value)] for n, rows in truth.items()}
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(address) as client,
        client.subscribe(f"s-{topic}", topics=[topic], mode=Mode.FULL) as stream,
    ):
        seen: dict[int, list[object]] = {n: [] for n in truth}
        async for batch in stream:
            for record in batch:
                headers = [(header.key, header.value) for header in record.headers]
                seen[batch.partition].append(
                    (
                        record.offset,
                        record.timestamp_ms,
                        int(record.timestamp_type),
                        record.key,
                        record.value,
                        headers,
                    )
                )
    for number, rows in truth.items():
        kept = [
            (r.offset, r.timestamp_ms, r.timestamp_type, r.key, r.value, list(r.headers))
            for r in rows
            if r not in rejected[number]
        ]
        wrong = [pair for pair in zip_longest(seen[number], kept) if pair[0] != pair[1]]
        assert not wrong, f"{topic}/{number}: {len(wrong)} wrong, such as {wrong[0]}"


def is_json_object(value: bytes | None) -> bool:
    """Whether the JSON rule lets a value of the tests pass; tombstones do."""
    if value is None:
        return True
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
