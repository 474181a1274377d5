"""What the fetcher asks of brokers, against a cluster in memory that records it."""

import asyncio
import time

import pytest

from cachesvc.mining.kafka.fetcher import KafkaSource
from cachesvc.mining.source import FetchCounts
from tests.unit.mining.fake_service import until
from tests.unit.mining.fetching import (
    A0,
    A1,
    B0,
    LARGE,
    MIB,
    SETTINGS,
    SMALL,
    FakeCluster,
    play,
)
from tests.unit.mining.record_batches import record_batch


def test_each_broker_is_asked_for_what_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 7)
        first = await cluster.fetch(1)
        assert first.asked == [("a", 0, 0), ("a", 1, 7)]
        assert first.request.isolation == 1
        assert first.request.wait_ms == 500
        source.add(B0, 3)
        assert (await cluster.fetch(2)).asked == [("b", 0, 3)]

    play(monkeypatch, scenario)


def test_goes_on_behind_what_it_got_and_polls_small_batches_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        (await cluster.fetch(1)).answer({("a", 0): SMALL, ("a", 1): SMALL + record_batch(1, [b""])})

        batches = await source.poll()

        assert [(b.partition, b.base_offset, b.end_offset) for b in batches] == [
            (A0, 0, 1),
            (A1, 0, 2),
        ]
        assert (await cluster.fetch(1)).asked == [("a", 0, 1), ("a", 1, 2)]
        brought = len(SMALL) + len(SMALL + record_batch(1, [b""]))
        assert source.fetches == FetchCounts(answered=1, failed=0, bytes=brought)

    play(monkeypatch, scenario)


def test_large_batches_are_polled_one_by_one_and_read_ahead_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        (await cluster.fetch(1)).answer({("a", 0): LARGE, ("a", 1): LARGE})
        (batch,) = await source.poll()

        # The other one is still here, so the broker must not make us wait for more.
        ahead = await cluster.fetch(1)
        assert ahead.asked == [(*batch.partition, 1)]
        assert ahead.request.wait_ms == 0
        assert ahead.request.max_bytes < SETTINGS.fetch_bytes_max
        ahead.answer({})
        await asyncio.sleep(0.1)
        assert cluster.fetches.empty()

        (other,) = await source.poll()
        assert {batch.partition, other.partition} == {A0, A1}
        patient = await cluster.fetch(1)
        assert patient.asked == [("a", 0, 1), ("a", 1, 1)]
        assert patient.request.wait_ms == 500

    play(monkeypatch, scenario)


def test_fetches_that_bring_little_are_spaced_as_far_as_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def times_s(source: KafkaSource, cluster: FakeCluster, value: bytes) -> list[float]:
        """When three fetches begin that are answered and taken at once."""
        began_s = []
        for offset in range(3):
            fetch = await cluster.fetch(1)
            began_s.append(time.monotonic())
            fetch.answer({("a", 0): record_batch(offset, [value], compression=0)})
            await source.poll()
        return began_s

    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.space(0.3)
        source.add(A0, 0)
        first, second, third = await times_s(source, cluster, b"{}")
        # A fetch begins a little before it is seen here.
        assert min(second - first, third - second) > 0.25

    async def unspaced(source: KafkaSource, cluster: FakeCluster) -> None:
        source.space(60.0)
        source.add(A0, 0)
        await times_s(source, cluster, bytes(100_000))

    play(monkeypatch, scenario)
    play(monkeypatch, unspaced)


def test_nothing_is_fetched_while_nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        (await cluster.fetch(1)).answer({("a", 0): LARGE * 12})
        await asyncio.sleep(0.2)
        assert cluster.fetches.empty()

        (batch,) = await source.poll()

        assert batch.encoded_bytes > 2 * MIB
        assert (await cluster.fetch(1)).asked == [("a", 0, 1)]

    play(monkeypatch, scenario)


def test_what_comes_for_a_partition_that_moved_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        old = await cluster.fetch(1)
        source.add(A0, 50)
        source.remove(A1)
        old.answer({("a", 0): SMALL, ("a", 1): SMALL})

        assert (await cluster.fetch(1)).asked == [("a", 0, 50)]

    play(monkeypatch, scenario)


def test_what_is_buffered_for_a_partition_that_went_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        source.add(A1, 0)
        (await cluster.fetch(1)).answer({("a", 0): SMALL, ("a", 1): SMALL})
        await until(lambda: source.status(A1).high_watermark == 1_000)
        source.remove(A0)

        (batch,) = await source.poll()

        assert batch.partition == A1

    play(monkeypatch, scenario)


def test_a_record_batch_that_does_not_fit_gets_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(source: KafkaSource, cluster: FakeCluster) -> None:
        source.add(A0, 0)
        sizes = []
        for _ in range(3):
            fetch = await cluster.fetch(1)
            ((_, ((*_, size),)),) = fetch.request.topics
            sizes.append(size)
            fetch.answer({("a", 0): LARGE[:-1]})
        assert sizes == [MIB, 2 * MIB, 4 * MIB]

    play(monkeypatch, scenario)
