"""G3: a sync task dies between delivery and commit; what it was given comes again."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, Mode
from tests.faults.stage import objects
from tests.support.checker import Delivery, Observation, Restart, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 2
RECORDS = 6_000


@dataclass
class Lives:
    """What one task was given over all its lives, and what it has committed."""

    seen: dict[int, list[Delivery | Restart]] = field(
        default_factory=lambda: {number: [] for number in range(PARTITIONS)}
    )
    committed: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    perhaps: dict[int, set[int]] = field(default_factory=dict)
    """Positions whose commit may have been on its way when the task died."""
    again: int = 0
    """Records that came once more."""

    def begin(self, started: dict[int, int]) -> None:
        """A life begins at what is committed, whatever was delivered after it."""
        for number, offset in started.items():
            allowed = {self.committed[number]} | self.perhaps.get(number, set())
            assert offset in allowed, f"partition {number} starts at {offset}, not in {allowed}"
            self.committed[number] = offset
            delivered = [row for row in self.seen[number] if isinstance(row, tuple)]
            self.again += len({at for at, _ in delivered if at >= offset})
            self.seen[number].append(Restart(offset))
        self.perhaps = {}

    def hear(self, said: dict[str, Any]) -> None:
        """A line of the process."""
        if "started" in said:
            self.begin({int(number): offset for number, offset in said["started"].items()})
        elif "committed" in said:
            number, offset = said["committed"]
            self.committed[number] = offset
        else:
            rows = [(at, value.encode()) for at, value in said["rows"]]
            self.seen[said["partition"]] += rows
            self.perhaps = {said["partition"]: {said["next"]}}


def _live_and_die(lives: Lives, address: str, topic: str, commit_every: int, lines: int) -> None:
    """A client process that is killed after so many lines; all it said before counts.

    It is never far ahead: a pipe holds two of its batches.
    """
    command = [sys.executable, "-m", "tests.faults.client_process", address, "s", topic]
    process = subprocess.Popen([*command, str(commit_every)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        try:
            for _ in range(lines):
                lives.hear(json.loads(next(said)))
        finally:
            process.kill()
            process.wait()
        for line in said:
            if line.endswith("\n"):
                lives.hear(json.loads(line))


async def _finish(address: str, topic: str, lives: Lives, ends: dict[int, int]) -> None:
    async with (
        asyncio.timeout(90),
        Client(address) as client,
        client.subscribe("s", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
    ):
        positions = {at.partition: at.offset for at in stream.started.positions.values()}
        lives.begin(positions)
        async for batch in stream:
            lives.seen[batch.partition] += [(record.offset, record.value) for record in batch]
            positions[batch.partition] = batch.next_position
            if positions == ends:
                return


def test_what_a_killed_task_had_not_committed_comes_again(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("client-death")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, PARTITIONS))
    truth = read_all(kafka.bootstrap, topic)
    ends = {number: rows[-1].offset + 1 for number, rows in truth.items()}
    lives = Lives()
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        for commit_every, lines in ((3, 6), (2, 7), (0, 5), (1, 4)):
            _live_and_die(lives, service.address, topic, commit_every, lines)
        asyncio.run(_finish(service.address, topic, lives, ends))
    assert lives.again > 0, "every kill came right after a commit; the test shows nothing"
    assert not check(truth, [Observation("s", n, rows) for n, rows in lives.seen.items()])
