"""A target of a sink under test, and what has to be there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from cachesvc.client import Positions
from cachesvc.sync.errors import TargetUnavailable
from cachesvc.sync.sink import Delivery, Sink, SinkKind, TaskContext
from cachesvc.sync.testing.writes import IDS_PER_PARTITION, Write


@dataclass(frozen=True, slots=True)
class Found:
    """One thing at a target.

    Attributes:
        id: Whose.
        value: Its object; None for a delete, of a target that holds changes.
    """

    id: int
    value: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class SinkTarget:
    """A target, empty at first, and how the suite deals with it.

    Attributes:
        kind: The sink's kind.
        settings: ``[sink]`` without its ``kind``.
        read: All that the target has now; of one partition in the order in which it has them.
        holds: ``changes``: everything that was written, deletes included; ``rows``: the latest of
            each id, and nothing of what is deleted.
        refused: An object that the target can never take; None where there is no such thing.
    """

    kind: SinkKind
    settings: Mapping[str, Any]
    read: Callable[[], Iterable[Found]]
    holds: Literal["changes", "rows"]
    refused: Mapping[str, Any] | None = None

    def make(self, task: str = "conformance", *, shared: bool = False) -> Sink:
        """A new sink of a task, or of one of those that share a subscription of that name."""
        settings = msgspec.convert(dict(self.settings), self.kind.settings)
        return self.kind.make(settings, TaskContext(task, shared=shared))


def expect(target: SinkTarget, *partitions: Sequence[Write]) -> None:
    """The target has what these writes make of it, each once."""
    for partition, writes in enumerate(partitions):
        found = _found(target, partition)
        wanted = [(write.id, write.value) for write in writes]
        if target.holds == "rows":
            found, wanted = sorted(found, key=_id), sorted(_rows(writes).items(), key=_id)
        assert found == wanted, _difference(partition, found, wanted)


def expect_at_least_once(target: SinkTarget, writes: Sequence[Write]) -> None:
    """Of partition 0 everything came, and what came again went on from there in order."""
    numbers = {(write.id, str(write.value)): number for number, write in enumerate(writes)}
    seen = [numbers[of, str(value)] for of, value in _found(target, 0)]
    assert set(seen) == set(range(len(writes))), f"{len(writes) - len(set(seen))} are missing"
    reached = -1
    for before, now in zip([-1, *seen], seen, strict=False):
        assert now <= before + 1, f"{now} came after {before}, with something left out"
        reached = max(reached, now)
    assert seen[-1] == reached == len(writes) - 1, "the last one to come is not the last one"


def expect_positions(found: Positions | None, wanted: Mapping[int, int]) -> None:
    """Of a target that keeps none, nothing is expected."""
    if found is None:
        return
    given = {partition: position.offset for (_, partition), position in found.items()}
    assert given == wanted, f"positions {given} instead of {wanted}"
    incarnations = {position.incarnation for position in found.values()}
    assert incarnations == {1}, f"incarnations {incarnations} instead of 1"


async def expect_moved(sink: Sink, given: Delivery) -> None:
    """A sink that tasks share does not write where another one has."""
    try:
        await sink.write(given)
    except TargetUnavailable:
        return
    raise AssertionError("what another task has moved since was written")


def _found(target: SinkTarget, partition: int) -> list[tuple[int, Mapping[str, Any] | None]]:
    every = ((found.id, found.value) for found in target.read())
    return [found for found in every if found[0] // IDS_PER_PARTITION == partition]


def _rows(writes: Sequence[Write]) -> dict[int, Mapping[str, Any] | None]:
    latest = {write.id: write.value for write in writes}
    return {id_: value for id_, value in latest.items() if value is not None}


def _id(found: tuple[int, Any]) -> int:
    return found[0]


def _difference(partition: int, found: Sequence[object], wanted: Sequence[object]) -> str:
    for number, pair in enumerate(zip(found, wanted, strict=False)):
        if pair[0] != pair[1]:
            return (
                f"partition {partition}, number {number}: {pair[0]!r:.300} is not {pair[1]!r:.300}"
            )
    return f"partition {partition} has {len(found)} instead of {len(wanted)}"
