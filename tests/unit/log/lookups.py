"""A cluster that is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cachesvc.errors import SourceUnreachable
from cachesvc.log.sources import Source, SourceTopic
from cachesvc.model import NonJsonPolicy

Partition = tuple[str, int]


class FakeLookup:
    """Answers what a test has entered, or not at all.

    Attributes:
        topics: Partition numbers of every topic.
        ids: The cluster's ids of topics; none for those not named.
        earliest: Of each partition; 0 for those not named.
        ends: Of each partition; 0 for those not named.
        reachable: Whether it answers.
        calls: The names of the questions, in their order.
    """

    def __init__(self, **topics: int) -> None:
        self.topics = {name: tuple(range(count)) for name, count in topics.items()}
        self.ids: dict[str, str] = {}
        self.earliest: dict[Partition, int] = {}
        self.ends: dict[Partition, int] = {}
        self.times: dict[Partition, int] = {}
        self.reachable = True
        self.calls: list[str] = []

    def _ask(self, question: str) -> None:
        self.calls.append(question)
        if not self.reachable:
            raise SourceUnreachable("the broker does not answer")

    async def list_topics(self) -> Mapping[str, SourceTopic]:
        self._ask("list_topics")
        return {name: SourceTopic(of, self.ids.get(name, "")) for name, of in self.topics.items()}

    async def earliest_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self._ask("earliest_offsets")
        return {each: self.earliest.get(each, 0) for each in partitions}

    async def end_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self._ask("end_offsets")
        return {each: self.ends.get(each, 0) for each in partitions}

    async def offsets_at(
        self, partitions: Sequence[Partition], timestamp_ms: int
    ) -> Mapping[Partition, int | None]:
        self._ask("offsets_at")
        return {each: self.times.get(each) for each in partitions}

    async def close(self) -> None:
        self.calls.append("close")


def source(lookup: FakeLookup, name: str = "main") -> Source:
    """A connection to it, with the topics it has, but for those that begin with "no-"."""
    return Source(
        name,
        ["broker:9092"],
        ".*",
        NonJsonPolicy.REJECT,
        lookup,
        matches=lambda topic: not topic.startswith("no-"),
        topics=dict(lookup.topics),
        known=True,
    )
