"""Members of a shared subscription with shared memory, of whom one takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.client import Batch, Client, Mode, Sharing, StreamSettings
from tests.faults.stage import objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.lent import is_lent, told
from tests.support.reading import read_all
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 6
RECORDS = 24_000
# A member has two partitions, of which it is told 8 MiB before it has to take some.
BYTES = 6_000
SETTINGS = {"server": {"member_release_s": 1, "member_stall_s": 2}}
Offsets = dict[int, set[int]]


class Group:
    """What all members together got, until it is everything.

    Args:
        truth: That, by partition.
    """

    def __init__(self, truth: Offsets) -> None:
        self._truth = truth
        self._got: Offsets = {}
        self.whole = asyncio.Event()

    def add(self, partition: int, offsets: list[int]) -> None:
        self._got.setdefault(partition, set()).update(offsets)
        if self._got == self._truth:
            self.whole.set()


class Member:
    """One that reads, commits, and notes what it got.

    Args:
        group: What it adds to.
        stalls: Whether it takes one batch and then nothing until ``goes_on``.
    """

    def __init__(self, group: Group, *, stalls: bool = False) -> None:
        self._group = group
        self._stalls = stalls
        self.stalled = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.lent = 0

    async def run(self, address: str, topic: str, name: str) -> None:
        async with (
            Client(address) as client,
            client.subscribe(
                "shared",
                topics=[topic],
                mode=Mode.FULL,
                sharing=Sharing.SHARED,
                member=name,
                settings=StreamSettings(reconnect_delay_max_s=0.5),
            ) as stream,
        ):
            last: dict[int, int] = {}
            async for event in stream.events():
                if not isinstance(event, Batch):
                    last.clear()  # its partitions may be others now, from where they are stored
                    await stream.commit()
                    continue
                self.lent += is_lent(event)
                offsets = [record.offset for record in event]
                assert offsets == sorted(set(offsets))
                assert last.get(event.partition, -1) < offsets[0], "order within an assignment"
                last[event.partition] = offsets[-1]
                self._group.add(event.partition, offsets)
                if self._stalls and not self.stalled.is_set():
                    self.stalled.set()
                    await self.goes_on.wait()


def test_what_a_stalled_member_was_handed_goes_to_others(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("stalled")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, PARTITIONS, BYTES))
    truth = {
        number: {row.offset for row in rows}
        for number, rows in read_all(kafka.bootstrap, topic).items()
    }

    async def run(address: str) -> None:
        await told(address, "mines", topic)
        group = Group(truth)
        members = [Member(group, stalls=True), Member(group), Member(group)]
        async with asyncio.timeout(200), asyncio.TaskGroup() as tasks:
            for number, member in enumerate(members):
                tasks.create_task(member.run(address, topic, f"member-{number}"))
            await members[0].stalled.wait()
            await group.whole.wait()
            members[0].goes_on.set()
        assert all(member.lent for member in members)

    with ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service:
        asyncio.run(run(service.address))
        assert service.events("member_stalled")
