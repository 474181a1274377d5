"""G15: one poisoned partition among twelve leaves the others alone, whatever its poison is.

Each kind of poison has a topic and a connection, and so a reader process, of its own; one topic has
none, and is the measure. All receive their records at the same pace, and reader and service are
killed on the way. CACHESVC_POISON_ROUNDS makes it longer.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from cachesvc.client import Client, Mode
from cachesvc.v1 import alarms_pb2 as alarms
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_tasks_pb2 as pb
from tests.faults.large_broker import LARGE, large_kafka
from tests.faults.stage import Calls, eventually
from tests.support.alongside import alongside
from tests.support.kafka_broker import KafkaBroker
from tests.support.poison.sitecustomize import MARK
from tests.support.service import ServiceProcess
from tests.support.topics import Compression, OutRecord, RecordWriter, create_topic, produce

__all__ = ["large_kafka"]

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(800)]
MB = 1_000_000
PARTITIONS = 12
POISONED = 7
GOOD_BEFORE = 5
PACE_S = 0.4
ROUNDS = int(os.environ.get("CACHESVC_POISON_ROUNDS", "30"))
# A death costs the start of a process, and a record takes four readers along: many seconds on a
# busy machine. A partition that waits for a poisoned one waits for ever.
LATER_S_MAX = 120.0
# More than a reader takes for ordinary records, less than for the deadly one.
MEMORY_BYTES_MAX = 260 * MB
DAMAGED = b'{"damaged":"on-the-disk-of-the-broker"}'


@dataclass(frozen=True, slots=True)
class Poison:
    """What is wrong with one partition of a topic, and what is to be told of it."""

    name: str
    reasons: frozenset[str]
    value: bytes
    compressed: bool = False


POISONS = (
    Poison("none", frozenset(), b"{}"),
    Poison("large", frozenset({"TOO_LARGE"}), b'{"v":"%s"}' % (b"x" * 3 * MB)),
    Poison("refused", frozenset({"APPEND_REFUSED"}), b'{"v":"%s"}' % MARK.encode()),
    Poison("undecodable", frozenset({"UNDECODABLE"}), DAMAGED),
    # Small as it is fetched, and huge once it is decoded; and the other way round.
    Poison("deadly", frozenset({"READER_DIED"}), b'{"v":"%s"}' % (b"0" * 90 * MB), compressed=True),
    Poison("bulky", frozenset({"READER_DIED"}), b'{"v":"%s"}' % os.urandom(30 * MB).hex().encode()),
)


def test_the_other_partitions_keep_their_time(
    large_kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support" / "poison"))
    for poison in POISONS:
        _prepare(large_kafka, poison)
    service = _service(tmp_path, large_kafka).start()
    try:
        writing = partial(_writing, large_kafka.bootstrap)
        with alongside(writing), alongside(partial(_memory_limit, service)):
            began_s = time.monotonic()
            asyncio.run(_subscribe(service.address))
            took_s = _follow(service, began_s)
            print({name: round(seconds, 1) for name, seconds in sorted(took_s.items())})
            for poison in POISONS:
                assert took_s[poison.name] <= took_s["none"] + LATER_S_MAX, (poison.name, took_s)
            _all_are_told(service)
        _retry(service)
    finally:
        service.stop()


def _prepare(kafka: KafkaBroker, poison: Poison) -> None:
    config = {"max.message.bytes": str(150 * MB)}
    create_topic(kafka.bootstrap, poison.name, PARTITIONS, config)
    good = [OutRecord(None, b'{"n":%d}' % n, partition=POISONED) for n in range(GOOD_BEFORE)]
    produce(kafka.bootstrap, poison.name, good)
    bad = [OutRecord(None, poison.value, partition=POISONED)]
    compression: Compression = "zstd" if poison.compressed else "none"
    produce(kafka.bootstrap, poison.name, bad, compression=compression, settings=LARGE)
    produce(kafka.bootstrap, poison.name, [OutRecord(None, b"{}", partition=POISONED)])
    if poison.value == DAMAGED:
        _damage(kafka, poison.name)


def _damage(kafka: KafkaBroker, topic: str) -> None:
    """Flips a bit of a record in the broker's own file."""
    (log,) = (kafka.directory / "data").glob(f"{topic}-{POISONED}/*0.log")
    with log.open("r+b") as file:
        at = file.read().index(DAMAGED)
        file.seek(at + 2)
        file.write(b"D")


def _service(directory: Path, kafka: KafkaBroker) -> ServiceProcess:
    settings: dict[str, dict[str, Any]] = {
        "mining": {"metadata_interval_s": 1.0, "record_bytes_max": 2 * MB},
        "alarms": {"interval_s": 0.2, "raise_after_s": 0.2, "lag_s_max": 0},
        "log": {"level": "info", "format": "json"},
    }
    connections = [
        {
            "name": poison.name,
            "bootstrap_servers": [kafka.bootstrap],
            "topic_expression": poison.name,
            "non_json_policy": "stop" if poison.name == "large" else "reject",
        }
        for poison in POISONS
    ]
    return ServiceProcess(directory, kafka.bootstrap, settings, None, None, connections)


async def _subscribe(address: str) -> None:
    async with Client(address) as client:
        for poison in POISONS:
            stream = client.subscribe(
                f"of-{poison.name}",
                connection=poison.name,
                topics=[poison.name],
                mode=Mode.FULL_AND_INCREMENTAL,
            )
            async with stream:
                pass


def _writing(bootstrap: str, stop: threading.Event) -> None:
    """Gives every other partition of every topic a record now and then, so many times."""
    with RecordWriter(bootstrap, idempotent=False) as writer:
        for number in range(ROUNDS):
            for poison in POISONS:
                for partition in _others():
                    writer.write(poison.name, b'{"n":%d}' % number, partition=partition)
            if stop.wait(PACE_S):
                return


def _others() -> Sequence[int]:
    return [number for number in range(PARTITIONS) if number != POISONED]


def _memory_limit(service: ServiceProcess, stop: threading.Event) -> None:
    """Kills readers that take too much, as the kernel does in a group of bounded memory."""
    while not stop.wait(0.002):
        with suppress(psutil.NoSuchProcess, AssertionError):
            for pid in service.reader_pids():
                with suppress(psutil.NoSuchProcess, ProcessLookupError):
                    if psutil.Process(pid).memory_info().rss > MEMORY_BYTES_MAX:
                        os.kill(pid, signal.SIGKILL)


def _follow(service: ServiceProcess, began_s: float) -> Mapping[str, float]:
    """When all other partitions of each topic had all; kills everything once on the way."""
    took_s: dict[str, float] = {}
    killed = {"readers": False, "service": False}
    while len(took_s) < len(POISONS):
        elapsed_s = time.monotonic() - began_s
        assert elapsed_s < 300, took_s
        if not killed["readers"] and elapsed_s > ROUNDS * PACE_S * 0.3:
            killed["readers"] = True
            for pid in service.reader_pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not killed["service"] and elapsed_s > ROUNDS * PACE_S * 0.1:
            killed["service"] = True
            service.kill()
            service.start()
        with Calls(service.address) as calls:
            for poison in POISONS:
                if poison.name not in took_s and _complete(calls, poison.name):
                    took_s[poison.name] = time.monotonic() - began_s
        time.sleep(0.1)
    return took_s


def _complete(calls: Calls, name: str) -> bool:
    request = log_cache.ListOffsetsRequest(connection=name, topic=name)
    found = calls.log_cache.ListOffsets(request, timeout=60).partitions
    ends = {each.partition: each.log_end_offset for each in found}
    return all(ends.get(number, 0) >= ROUNDS for number in _others())


def _blocked(calls: Calls) -> dict[str, pb.BlockedPartition]:
    request = pb.ListBlockedPartitionsRequest()
    found = calls.admin.ListBlockedPartitions(request, timeout=30).partitions
    return {each.topic: each for each in found}


def _all_are_told(service: ServiceProcess) -> None:
    expected = {poison.name for poison in POISONS if poison.reasons}
    with Calls(service.address) as calls:
        found = _gathered(calls, expected)
        for poison in POISONS:
            if not poison.reasons:
                continue
            each = found[poison.name]
            assert each.partition == POISONED
            assert each.blocked.reason in poison.reasons, each
            assert each.blocked.offset == GOOD_BEFORE, each
            eventually(partial(_shown, calls, poison), f"{poison.name} is shown")
        standing = eventually(lambda: _alarms(calls) >= expected, "an alarm for each")
        assert standing


def _gathered(calls: Calls, expected: set[str]) -> dict[str, pb.BlockedPartition]:
    """What is blocked; each at some time, for what may pass is tried again meanwhile."""
    found: dict[str, pb.BlockedPartition] = {}

    def look() -> bool:
        found.update(_blocked(calls))
        return found.keys() == expected

    eventually(look, f"{expected} are blocked")
    return found


def _shown(calls: Calls, poison: Poison) -> bool:
    request = log_cache.ListOffsetsRequest(connection=poison.name, topic=poison.name)
    found = calls.log_cache.ListOffsets(request, timeout=60).partitions
    states = {each.partition: each for each in found}
    poisoned = states[POISONED]
    assert poisoned.log_end_offset == GOOD_BEFORE  # what is good before it was delivered
    others = {states[number].mining_state for number in _others()}
    # What killed a reader is tried again now and then, and the next one has to start.
    return (
        others == {log_cache.MINING}
        and bool(poisoned.mining_state == log_cache.BLOCKED)
        and poisoned.blocked.offset == GOOD_BEFORE
        and poisoned.mining_error.startswith("PARTITION_BLOCKED: ")
    )


def _alarms(calls: Calls) -> set[str]:
    found = calls.admin.ListAlarms(alarms.ListAlarmsRequest(), timeout=30).alarms
    return {each.topic for each in found if each.kind == alarms.ALARM_PARTITION_BLOCKED}


def _retry(service: ServiceProcess) -> None:
    """With memory enough the deadly records are mined: turned away, for they are too large."""
    with Calls(service.address) as calls:
        for name in ("deadly", "bulky"):
            request = pb.RetryPartitionsRequest(connection=name, topic=name)
            (retried,) = calls.admin.RetryPartitions(request, timeout=30).partitions
            assert retried.partition == POISONED
        eventually(lambda: not {"deadly", "bulky"} & _blocked(calls).keys(), "both get on")
        for name in ("deadly", "bulky"):
            eventually(lambda name=name: _end(calls, name) == GOOD_BEFORE + 2, "its end")  # type: ignore[misc]


def _end(calls: Calls, name: str) -> int:
    request = log_cache.ListOffsetsRequest(connection=name, topic=name)
    found = calls.log_cache.ListOffsets(request, timeout=60).partitions
    ends: dict[int, int] = {each.partition: each.log_end_offset for each in found}
    return ends[POISONED]
