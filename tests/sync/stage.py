"""A sink in memory that fails as a test scripts it, and tasks on a service of the tests."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from cachesvc.client import Position, Positions
from cachesvc.sync import (
    BatchRefused,
    ChangesRefused,
    Check,
    Delivery,
    Refusal,
    TargetUnavailable,
    TaskConfig,
    parse_task,
)

Key = tuple[str, int]


class MemorySink:
    """Keeps what it gets, in order, per partition.

    Args:
        keeps_positions: Whether it has positions with the changes, as a database would.
        names_refused: Whether it says which changes it refuses.

    Attributes:
        offsets: Of what was written.
        deliveries: The offsets of each delivery, as it came.
        faults: The first one is raised by the next write, and so on; None lets one pass. What is
            raised after the write was done is in ``late_faults``.
        refuses: Offsets that are never taken.
        held: While set, writes wait.
        calls: Names of the methods that were called.
    """

    def __init__(self, *, keeps_positions: bool = False, names_refused: bool = True) -> None:
        self.offsets: defaultdict[Key, list[int]] = defaultdict(list)
        self.values: defaultdict[Key, list[str | None]] = defaultdict(list)
        self.deliveries: list[list[int]] = []
        self.faults: deque[Exception | None] = deque()
        self.late_faults: deque[Exception | None] = deque()
        self.refuses: set[int] = set()
        self.held = asyncio.Event()
        self.held.set()
        self.writing = False
        self.calls: list[str] = []
        self.positions = Positions()
        self._keeps_positions = keeps_positions
        self._names_refused = names_refused

    async def open(self) -> Positions | None:
        self.calls.append("open")
        return self.positions if self._keeps_positions else None

    async def write(self, delivery: Delivery) -> None:
        self.calls.append("write")
        assert delivery.changes
        self.writing = True
        try:
            await self.held.wait()
        finally:
            self.writing = False
        if self.faults and (fault := self.faults.popleft()) is not None:
            raise fault
        self._refuse(delivery)
        self._keep(delivery)
        if self.late_faults and (fault := self.late_faults.popleft()) is not None:
            raise fault

    def _refuse(self, delivery: Delivery) -> None:
        refusals = [
            Refusal(number, row, "BAD", f"offset {offset}")
            for number, changes in enumerate(delivery.changes)
            for row, offset in enumerate(changes.rows.column("offset").to_pylist())
            if offset in self.refuses
        ]
        if refusals and self._names_refused:
            raise ChangesRefused(refusals)
        if refusals:
            raise BatchRefused("something is bad", reason="BAD")

    def _keep(self, delivery: Delivery) -> None:
        for changes in delivery.changes:
            key = changes.source.topic, changes.source.partition
            offsets = changes.rows.column("offset").to_pylist()
            self.offsets[key] += offsets
            self.values[key] += changes.rows.column("value").to_pylist()
            if changes.source.incarnation:
                self.positions = self.positions.moved(changes.position)
        self.deliveries.append(
            [o for changes in delivery.changes for o in changes.rows.column("offset").to_pylist()]
        )

    async def check(self) -> Sequence[Check]:
        return [Check("write", True, "memory")]

    async def close(self) -> None:
        self.calls.append("close")


class Unavailable(TargetUnavailable):
    def __init__(self) -> None:
        super().__init__("scripted")


def task_config(service: str, **changes: Any) -> TaskConfig:
    """A task that is quick to try again, and that delivers at once."""
    tree: dict[str, Any] = {
        "name": "task",
        "source": {"service": service, "topics": ["orders"], "mode": "FULL"},
        "batch": {"wait_s_max": 0.0},
        "retry": {"delay_first_s": 0.001, "delay_max_s": 0.01, "give_up_after_s": 20.0},
        "stop_timeout_s": 5.0,
    }
    for name, value in changes.items():
        tree[name] = {**tree[name], **value} if isinstance(tree.get(name), dict) else value
    return parse_task(tree)


def reached(sink: MemorySink, key: Key, count: int) -> Callable[[], bool]:
    """Whether a partition has so many records at the sink."""
    return lambda: len(sink.offsets[key]) >= count


def at(*offsets: int, topic: str = "orders") -> Positions:
    """A position of each partition, by number."""
    return Positions(Position(topic, number, each, 1) for number, each in enumerate(offsets))
