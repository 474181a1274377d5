"""G10, journals: damage is noticed before a wrong record is served, taken out, and mined again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from cachesvc.client import GapCause
from tests.faults.stage import Calls, anomalies, check_manifest, eventually, objects
from tests.faults.streams import beyond_gaps
from tests.support.frames import flip_bit
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import (
    BrokerRecord,
    create_topic,
    delete_records_before,
    produce,
    read_all,
)

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

Name = Callable[[str], str]
Truth = Mapping[int, Sequence[BrokerRecord]]
RECORDS = 6_000
UNSEALED = 500


def _flip_in_the_middle(journal: Path) -> None:
    flip_bit(journal, journal.stat().st_size * 4)


def _cut(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size * 2 // 3)


def _flip_in_the_header(journal: Path) -> None:
    flip_bit(journal, 8 * 9)


def _fill_with_noise(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b"\xa5" * 10_000)


def _empty(journal: Path) -> None:
    journal.write_bytes(b"")


Damage = Callable[[Path], None]
DAMAGES = (_flip_in_the_middle, _cut, _flip_in_the_header, _fill_with_noise, _empty)


def _topics(kafka: KafkaBroker, topic_name: Name, damages: Sequence[Damage]) -> dict[str, Damage]:
    """A topic of its own for each damage."""
    topics = {topic_name(damage.__name__.strip("_")): damage for damage in damages}
    for topic in topics:
        create_topic(kafka.bootstrap, topic)
    return topics


def _has(service: ServiceProcess, subscription: str, topic: str, count: int) -> None:
    assert asyncio.run(full(service.address, f"{subscription}-{topic}", topic)).count == count


def _gives_all(service: ServiceProcess, subscription: str, topic: str, truth: Truth) -> None:
    seen = asyncio.run(full(service.address, f"{subscription}-{topic}", topic))
    assert not anomalies(truth, seen, topic), topic


def test_what_a_damaged_journal_had_is_mined_again(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topics = _topics(kafka, topic_name, DAMAGES)
    service = ServiceProcess(tmp_path, kafka.bootstrap, {"store": {"segment_bytes_max": 1 << 20}})
    try:
        service.start()
        for topic in topics:
            produce(kafka.bootstrap, topic, objects(0, RECORDS))
            _has(service, "before", topic, RECORDS)
            with Calls(service.address) as calls:
                eventually(partial(calls.segments, topic), "a first segment")
            # However the records before came in appends: these are in a journal that is not full.
            produce(kafka.bootstrap, topic, objects(RECORDS, RECORDS + UNSEALED))
            _has(service, "more", topic, RECORDS + UNSEALED)
        service.kill()

        for topic, damage in topics.items():
            damage(max(service.store.glob(f"journal/*/{topic}/*/*/*.journal")))
        service.start()
        truths = {topic: read_all(kafka.bootstrap, topic) for topic in topics}
        for topic, damage in topics.items():
            _gives_all(service, "after", topic, truths[topic])
            # Of a file with nothing in it there is nothing to keep.
            assert damage is _empty or _kept(service, topic), "the damage is kept for a look"
        service.stop()
        for topic, truth in truths.items():
            check_manifest(service.store, topic, truth)
    finally:
        service.stop()


def _kept(service: ServiceProcess, topic: str) -> list[Path]:
    kept = service.store.glob("quarantine/**/*.journal.*")
    return [path for path in kept if topic in str(path.relative_to(service.store))]


SERVED: dict[str, dict[str, object]] = {
    # Records are read from the journal, which takes appends all the time.
    "store": {
        "segment_bytes_max": 1 << 30,
        "memory_bytes_max": 65_536,
        "chunk_cache_bytes_max": 65_536,
    }
}


def _mine(service: ServiceProcess, kafka: KafkaBroker, topic: str) -> Path:
    """Fills a topic's journal; which it is."""
    for begin in range(0, RECORDS, 500):
        produce(kafka.bootstrap, topic, objects(begin, begin + 500))
        asyncio.run(full(service.address, f"before-{topic}", topic))
    (journal,) = service.store.glob(f"journal/*/{topic}/*/*/*.journal")
    return journal


def test_a_journal_that_is_damaged_while_it_is_served(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topics = _topics(kafka, topic_name, (_flip_in_the_middle, _cut, _empty))
    truths: dict[str, Truth] = {}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, SERVED) as service,
        Calls(service.address) as calls,
    ):
        for topic, damage in topics.items():
            damage(_mine(service, kafka, topic))
            # Whoever reads there waits until it is mined again, and misses nothing.
            _gives_all(service, "after", topic, read_all(kafka.bootstrap, topic))
            assert any(topic in str(event) for event in service.events("journal_damaged"))
            assert _kept(service, topic)
            # What follows goes on, and all of it is one again.
            produce(kafka.bootstrap, topic, objects(RECORDS, RECORDS + 500))
            truths[topic] = read_all(kafka.bootstrap, topic)
            _gives_all(service, "later", topic, truths[topic])
            starts = partial(calls.offsets, topic)
            eventually(lambda starts=starts: starts()[0].log_start_offset == 0, "one log")  # type: ignore[misc]
        service.stop()
        for topic, truth in truths.items():
            check_manifest(service.store, topic, truth)
        service.start()
        for topic, truth in truths.items():
            _gives_all(service, "again", topic, truth)


def test_what_was_damaged_and_the_source_has_no_more_is_told(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("hurt")
    create_topic(kafka.bootstrap, topic)
    with ServiceProcess(tmp_path, kafka.bootstrap, SERVED) as service:
        journal = _mine(service, kafka, topic)
        truth = read_all(kafka.bootstrap, topic)[0]
        delete_records_before(kafka.bootstrap, topic, {0: RECORDS - 100})
        _flip_in_the_middle(journal)

        seen, (gap,) = asyncio.run(beyond_gaps(service.address, topic))
        assert gap.cause is GapCause.STORE_DAMAGED
        lost = range(gap.begin_offset, gap.end_offset)
        assert 0 < len(lost) < RECORDS, "what is whole of the journal is kept"
        assert seen == [(r.offset, r.value) for r in truth if r.offset not in lost]
        service.stop()
        service.start()
        assert asyncio.run(beyond_gaps(service.address, topic)) == (seen, [gap])
