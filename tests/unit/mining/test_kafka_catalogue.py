"""What a leader's answers mean that are errors of one partition."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from cachesvc.clusters.first_offsets import first_offsets
from cachesvc.clusters.lookup import UNTIMED
from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadata
from cachesvc.mining.source import SourcePartition
from cachesvc.model import MiningStart, StartKind
from tests.support import virtual_time
from tests.unit.clusters.lookups import FakeLookup

PARTITIONS = [("orders", 0), ("orders", 1)]


class Answers:
    """What a cluster of one node says, as entered; everything else of it is real."""

    def __init__(self, codes: Mapping[int, int]) -> None:
        self._codes = codes
        self.asked = 0

    async def metadata(self, topics: Any) -> Metadata:
        return Metadata({}, {topic: TopicMetadata(0, "", False, {0: 1, 1: 1}) for topic in topics})

    async def offsets(
        self, node: int, asked: Mapping[SourcePartition, int], isolation: int = 1
    ) -> dict[SourcePartition, tuple[int, int]]:
        self.asked += 1
        codes = {each: self._codes.get(each.number, 0) for each in asked}
        return {each: (code, -1 if code else 7) for each, code in codes.items()}


def asking(codes: Mapping[int, int], monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers(codes)
    for name in ("metadata", "offsets"):
        monkeypatch.setattr(f"cachesvc.mining.kafka.cluster.Cluster.{name}", getattr(answers, name))
    monkeypatch.setattr("cachesvc.mining.kafka.catalogue._SETTLE_S", 0.1)
    return answers


async def ask() -> Any:
    settings = KafkaSettings(bootstrap_servers=("broker:9092",), answer_timeout_s=0.3)
    catalogue = KafkaCatalogue(settings)
    try:
        return (await catalogue.offsets_at(PARTITIONS, 1_000)).all()
    finally:
        await catalogue.close()


def test_a_format_without_times_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asking({1: 43}, monkeypatch)

    assert virtual_time.run(ask()) == {("orders", 0): 7, ("orders", 1): UNTIMED}


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (29, "TOPIC_NOT_AUTHORIZED", ConnectionUnusable),
        (6, "SOURCE_ERROR", SourceUnreachable),
        (-1, "SOURCE_ERROR", SourceUnreachable),
        (78, "SOURCE_ERROR", SourceUnreachable),
        (3, "SOURCE_UNREACHABLE", SourceUnreachable),
    ],
)
def test_errors_keep_their_meaning(
    code: int, reason: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = asking({1: code}, monkeypatch)

    with pytest.raises(SourceUnreachable, match="orders/1") as raised:
        virtual_time.run(ask())

    assert isinstance(raised.value, error)
    assert raised.value.reason == reason
    # What does not pass by itself is not asked for again.
    assert (answers.asked == 1) == (error is ConnectionUnusable)


def test_mining_from_a_time_on_begins_at_the_earliest_offset_without_times() -> None:
    lookup = FakeLookup(orders=3)
    lookup.earliest = {("orders", 0): 3, ("orders", 1): 4}
    lookup.ends = {("orders", number): 9 for number in range(3)}
    lookup.times = {("orders", 0): 5, ("orders", 1): UNTIMED}

    found = asyncio.run(
        first_offsets(
            lookup,
            [("orders", number) for number in range(3)],
            MiningStart(StartKind.TIMESTAMP, 1_000),
        )
    )

    assert found.all() == {("orders", 0): 5, ("orders", 1): 4, ("orders", 2): 9}
