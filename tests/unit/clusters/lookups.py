"""A cluster that is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cachesvc.clusters.lookup import Answers, SourceTopic
from cachesvc.clusters.sources import Source
from cachesvc.errors import SourceChanged, SourceUnreachable
from cachesvc.model import NonJsonPolicy
from cachesvc.policy.cluster_identity import ForeignAddress, is_foreign

Partition = tuple[str, int]
T = TypeVar("T")


class FakeLookup:
    """Answers what a test has entered, or not at all.

    Attributes:
        topics: Partition numbers of every topic.
        ids: The cluster's ids of topics; none for those not named.
        earliest: Of each partition; 0 for those not named.
        ends: Of each partition; 0 for those not named.
        reachable: Whether it answers.
        silent: Partitions whose leaders do not answer.
        calls: The names of the questions, in their order.
        cluster: What the cluster at each address calls itself.
    """

    def __init__(self, **topics: int) -> None:
        self.topics = {name: tuple(range(count)) for name, count in topics.items()}
        self.ids: dict[str, str] = {}
        self.earliest: dict[Partition, int] = {}
        self.ends: dict[Partition, int] = {}
        self.times: dict[Partition, int] = {}
        self.reachable = True
        self.silent: set[Partition] = set()
        self.calls: list[str] = []
        self.cluster: dict[str, str] = {"broker:9092": ""}
        self.cluster_id = ""
        self.foreign: tuple[ForeignAddress, ...] = ()
        self._ruled_out: set[str] = set()

    def expect(self, cluster_id: str) -> None:
        if cluster_id != self.cluster_id:
            self.cluster_id = cluster_id
            self._ruled_out.clear()

    def rule_out(self, cluster_id: str) -> None:
        self.cluster_id = ""
        self._ruled_out.add(cluster_id)

    async def try_addresses(self) -> None:
        told = [ForeignAddress(*each) for each in sorted(self.cluster.items())]
        self.foreign = tuple(each for each in told if self._refuses(each.cluster_id))

    async def clusters(self) -> Mapping[str, str]:
        self._ask("clusters")
        return dict(self.cluster)

    def _refuses(self, told: str) -> bool:
        return told in self._ruled_out or is_foreign(self.cluster_id, told)

    def _ask(self, question: str) -> None:
        self.calls.append(question)
        if not self.reachable:
            raise SourceUnreachable("the broker does not answer")
        if question == "clusters":
            return
        believed = [told for told in self.cluster.values() if not self._refuses(told)]
        if not believed:
            raise SourceChanged("no broker can be used")
        self.cluster_id = self.cluster_id or believed[0]

    async def list_topics(self) -> Mapping[str, SourceTopic]:
        self._ask("list_topics")
        return {name: SourceTopic(of, self.ids.get(name, "")) for name, of in self.topics.items()}

    async def earliest_offsets(self, partitions: Sequence[Partition]) -> Answers[int]:
        self._ask("earliest_offsets")
        return self._answers(partitions, lambda each: self.earliest.get(each, 0))

    async def end_offsets(self, partitions: Sequence[Partition]) -> Answers[int]:
        self._ask("end_offsets")
        return self._answers(partitions, lambda each: self.ends.get(each, 0))

    async def offsets_at(
        self, partitions: Sequence[Partition], timestamp_ms: int
    ) -> Answers[int | None]:
        self._ask("offsets_at")
        return self._answers(partitions, self.times.get)

    def _answers(
        self, partitions: Sequence[Partition], answer: Callable[[Partition], T]
    ) -> Answers[T]:
        gone = {each for each in partitions if each in self.silent}
        return Answers(
            {each: answer(each) for each in partitions if each not in gone},
            {each: SourceUnreachable(f"the leader of {each} does not answer") for each in gone},
        )

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
        topic_ids=dict.fromkeys(lookup.topics, ""),
        known=True,
    )
