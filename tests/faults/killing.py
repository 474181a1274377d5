"""What kill loops over sync tasks share: victims in an order of chance, producing, where tasks are.

CACHESVC_SYNC_ROUNDS says how many rounds there are; what is produced grows with them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cachesvc.client import Client, ClientError, NotFound
from tests.faults.stage import WAIT_S, eventually
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import OutRecord, RecordWriter

_PAUSE_S_MAX = 1.5
_PAIRS = 0.3
_AT_ONCE = 100
_WRITES_S = 3.0
_WRITE_S = 0.01


def rounds(default: int) -> int:
    """How often something is killed: as the variable says, or so often."""
    return int(os.environ.get("CACHESVC_SYNC_ROUNDS", default))


@dataclass(frozen=True)
class Victim:
    """Something that is killed.

    Attributes:
        name: For people.
        kill: SIGKILL; whoever is dead already stays so.
        start: Starts it again.
    """

    name: str
    kill: Callable[[], object]
    start: Callable[[], object] = lambda: None


@dataclass
class Killing:
    """Kills in an order of chance, in which everybody's turn comes before anybody's next.

    Attributes:
        victims: Who may be killed.
        chance: Decides who is next, and when.
        pairs: Whether in some rounds two are dead at the same time.
        killed: How often each was, by name.
    """

    victims: Sequence[Victim]
    chance: random.Random
    pairs: bool = True
    killed: Counter[str] = field(default_factory=Counter)

    def run(self, count: int, before: Callable[[], object] = lambda: None) -> None:
        """So many rounds: something else first, then a pause, and one or two are killed."""
        waiting: list[Victim] = []
        for _ in range(count):
            if not waiting:
                waiting = self.chance.sample(self.victims, len(self.victims))
            chosen = [waiting.pop()]
            if self.pairs and self.chance.random() < _PAIRS:
                chosen.append(self.chance.choice([v for v in self.victims if v not in chosen]))
            before()
            time.sleep(self.chance.random() * _PAUSE_S_MAX)
            for victim in chosen:
                victim.kill()
                self.killed[victim.name] += 1
            self.chance.shuffle(chosen)
            for victim in chosen:
                victim.start()

    def __str__(self) -> str:
        return ", ".join(f"{count} of {name}" for name, count in sorted(self.killed.items()))


def of_task(task: SyncProcess, name: str = "") -> Victim:
    """A task's process, by the task's name unless it is given one."""
    return Victim(name or task.name, task.kill, task.start)


def of_writing_task(task: SyncProcess, writes: Callable[[], bool], chance: random.Random) -> Victim:
    """A task's process, killed in the middle of a write, where it comes to one soon."""

    def kill() -> None:
        deadline = time.monotonic() + _WRITES_S
        while not writes() and time.monotonic() < deadline:
            pass  # it may last a millisecond
        time.sleep(chance.random() * _WRITE_S)
        task.kill()

    return Victim(task.name, kill, task.start)


def of_service(service: ServiceProcess) -> list[Victim]:
    """The service's process, and those of its readers alone, which it starts again by itself."""

    def kill_readers() -> None:
        if service.running:
            for pid in service.reader_pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    return [Victim("service", service.kill, service.start), Victim("readers", kill_readers)]


def producing(
    bootstrap: str,
    topic: str,
    record: Callable[[int], OutRecord],
    records_max: int,
    stop: threading.Event,
) -> None:
    """Produces all the time, but no more than that; a broker that is away is waited for."""
    number = 0
    # One for all of it: whoever asks a broker for the topic first is refused while it is away.
    with RecordWriter(bootstrap) as writer:
        while not stop.is_set() and number < records_max:
            for each in range(number, number + _AT_ONCE):
                writer.write_record(topic, record(each))
            number += _AT_ONCE
            writer.flush(2 * WAIT_S)
            stop.wait(0.05)


def stored(service: ServiceProcess, subscription: str) -> dict[int, int]:
    """Where the service has a task, by partition; asked until it answers."""

    async def ask() -> dict[int, int] | None:
        try:
            async with Client(service.address, call_timeout_s=5.0) as client:
                found = await client.get_subscription(subscription)
        except NotFound:
            return {}
        except ClientError:
            return None
        return {each.position.partition: each.position.offset for each in found.partitions}

    def answer() -> list[dict[int, int]]:
        positions = asyncio.run(ask())
        return [] if positions is None else [positions]

    return eventually(answer, "the service to tell the position")[0]
