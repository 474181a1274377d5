"""Jobs that are killed, meet each other, or meet mining: the store stays right."""

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from cachesvc.errors import ShuttingDown
from cachesvc.store import layout
from cachesvc.store.merging import merge_segments
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.faults.stage import (
    WAIT_S,
    Calls,
    anomalies,
    check_manifest,
    error_info,
    eventually,
    objects,
)
from tests.support.frames import full_frames, seal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import BrokerRecord, create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

Name = Callable[[str], str]
MEETINGS = 6
"""How often it is tried to be there while it merges, with as much to merge each time."""
NEVER: dict[str, object] = {"interval_s": 86_400}
# Journals are sealed often; no sealed one is kept, so that reading needs the segments.
SMALL_SEGMENTS: dict[str, object] = {
    "segment_bytes_max": 65_536,
    "warm_bytes_max": 0,
    "memory_bytes_max": 65_536,
}
BY_HAND: dict[str, dict[str, object]] = {
    "store": SMALL_SEGMENTS,
    "mining": {"batch_records_max": 250},
    "jobs.compact": NEVER,
    "jobs.expire": NEVER,
    "jobs.sweep": {**NEVER, "grace_s": 0},
}


def _files(service: ServiceProcess, topic: str) -> set[str]:
    """Files of the topic's log, those that are being written included."""
    root = service.store / "log" / "default" / topic
    return {
        path.relative_to(service.store).as_posix() for path in root.rglob("*") if path.is_file()
    }


def _is_swept(service: ServiceProcess, calls: Calls, topic: str) -> bool:
    """Sweeps; a seal may go on meanwhile."""
    calls.run_job("sweep")
    return _files(service, topic) == _listed(calls, topic)


def _unfinished(service: ServiceProcess, topic: str) -> set[str]:
    return {path for path in _files(service, topic) if path.endswith(layout.TEMPORARY_SUFFIX)}


def _mine(bootstrap: str, service: ServiceProcess, topic: str) -> dict[int, list[BrokerRecord]]:
    """Many small segments more; what the broker has."""
    for begin in range(0, 32_000, 4_000):
        produce(bootstrap, topic, objects(begin, begin + 4_000))
        asyncio.run(full(service.address, "mine", topic))
    truth = read_all(bootstrap, topic)
    with Calls(service.address) as calls:
        eventually(lambda: len(calls.segments(topic)) >= 8, "segments")
        # Also of what a merge had replaced before it was given up.
        eventually(lambda: _is_swept(service, calls, topic), "the last seal, and no other files")
    return truth


def _listed(calls: Calls, topic: str) -> set[str]:
    return {segment.path for segment in calls.segments(topic)}


def _check(
    service: ServiceProcess, topic: str, truth: dict[int, list[BrokerRecord]], name: str
) -> None:
    assert not anomalies(truth, asyncio.run(full(service.address, name, topic)), topic)


def test_a_kill_in_the_middle_of_a_compaction_leaves_the_store_right(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("killed")
    service = ServiceProcess(tmp_path, kafka.bootstrap, BY_HAND).start()
    try:
        create_topic(kafka.bootstrap, topic)
        met = False
        for round_ in range(MEETINGS):
            truth = _mine(kafka.bootstrap, service, topic)
            met = _killed_while_compacting(service, topic)
            service.start()
            with Calls(service.address) as calls:
                met = met and bool(_unfinished(service, topic))
                _check(service, topic, truth, f"after-kill-{round_}")
                eventually(lambda c=calls: _is_swept(service, c, topic), "no other files")  # type: ignore[misc]
            if met:
                break
        assert met, "no kill met a file that was being written"
        for _ in range(MEETINGS):
            truth = _mine(kafka.bootstrap, service, topic)
            met = _ended_while_compacting(service, topic)
            service.start()
            if met:
                break
        assert met, "no end met a merge"
        truth = _mine(kafka.bootstrap, service, topic)
        with Calls(service.address) as calls:
            before = _listed(calls, topic)
            assert calls.run_job("compact")["segments_merged"] >= 2
            assert len(_listed(calls, topic)) < len(before)
        _check(service, topic, truth, "compacted")
        service.stop()
        check_manifest(service.store, topic, truth)
    finally:
        service.kill()


def _killed_while_compacting(service: ServiceProcess, topic: str) -> bool:
    """Whether a file was being written. The service gets on by moments, so that it is seen."""
    files = _files(service, topic)
    with Calls(service.address) as calls:
        progress = calls.admin.RunJob(admin.RunJobRequest(name="compact"))
        assert next(progress).total >= 1
        give_up_s = time.monotonic() + WAIT_S
        while True:
            assert time.monotonic() < give_up_s, "nothing is written"
            service.signal(signal.SIGSTOP)
            if (met := bool(_unfinished(service, topic))) or _files(service, topic) - files:
                break
            service.signal(signal.SIGCONT)
            time.sleep(0.001)
        service.kill()
        progress.cancel()
    return met


def _ended_while_compacting(service: ServiceProcess, topic: str) -> bool:
    """Whether SIGTERM came while it merged, which then is given up, said, and cleaned up behind."""
    with Calls(service.address) as calls:
        progress = calls.admin.RunJob(admin.RunJobRequest(name="compact"))
        assert next(progress).total >= 1
        service.stop()
        try:
            list(progress)
        except grpc.RpcError as error:
            ended = error
        else:
            return False
    assert ended.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(ended)[0] == "SHUTTING_DOWN"
    assert not _unfinished(service, topic)
    return True


def test_the_sweep_leaves_alone_what_is_being_written(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """Seals and merges all the time, and a sweep without any grace all the time as well."""
    topic = topic_name("swept")
    create_topic(kafka.bootstrap, topic, 4)
    settings: dict[str, dict[str, object]] = {
        **BY_HAND,
        "jobs.compact": {"interval_s": 0.1},
        "jobs.sweep": {"interval_s": 0.1, "grace_s": 0},
    }
    stop = threading.Event()

    def sweep_all_the_time(address: str) -> None:
        request = admin.RunJobRequest(name="sweep")
        with Calls(address) as calls:
            while not stop.is_set():
                with suppress(grpc.RpcError):  # it runs by itself, too
                    list(calls.admin.RunJob(request, timeout=60))

    with ServiceProcess(tmp_path, kafka.bootstrap, settings) as service:
        sweeping = threading.Thread(target=sweep_all_the_time, args=(service.address,))
        sweeping.start()
        try:
            for begin in range(0, 10_000, 1_000):
                produce(kafka.bootstrap, topic, objects(begin, begin + 1_000, 4))
                asyncio.run(full(service.address, f"mine-{begin}", topic))
            with Calls(service.address) as calls:
                eventually(lambda: _is_compacted(calls, topic), "some merges")
        finally:
            stop.set()
            sweeping.join()
        truth = read_all(kafka.bootstrap, topic)
        _check(service, topic, truth, "everything")
        with Calls(service.address) as calls:
            eventually(lambda: _missing(service, calls, topic) is not None, "a quiet moment")
            assert not _missing(service, calls, topic)
        service.stop()
        check_manifest(service.store, topic, truth)


def _is_compacted(calls: Calls, topic: str) -> bool:
    return any(segment.level > 0 for segment in calls.segments(topic))


def _missing(service: ServiceProcess, calls: Calls, topic: str) -> set[str] | None:
    """Files that the manifest names and that are not there; None if it changed meanwhile."""
    before, files, after = _listed(calls, topic), _files(service, topic), _listed(calls, topic)
    return before - files if before == after else None


def test_sealing_on_demand_again_and_again_while_the_service_is_killed(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """Mining never pauses; every run that answers has made segments of what was there before."""
    topic = topic_name("sealed")
    create_topic(kafka.bootstrap, topic, 4)
    settings = {**BY_HAND, "store": {}}
    service = ServiceProcess(tmp_path, kafka.bootstrap, settings)
    stop = threading.Event()

    def produce_all_the_time() -> None:
        for begin in itertools.count(0, 200):
            if stop.is_set():
                return
            produce(kafka.bootstrap, topic, objects(begin, begin + 200, 4))

    producing = threading.Thread(target=produce_all_the_time)
    producing.start()
    try:
        for round_ in range(3):
            service.start()
            with Calls(service.address) as calls:
                stream = calls.log_cache.Subscribe(
                    log_cache.SubscribeRequest(
                        subscription="mine", topics=[topic], mode=log_cache.FULL_AND_INCREMENTAL
                    )
                )
                next(stream)
                for _ in range(3 + round_):
                    eventually(lambda c=calls: _seals(c, topic), "something to seal")  # type: ignore[misc]
                killing = calls.admin.RunJob(admin.RunJobRequest(name="seal"))
                with suppress(StopIteration):
                    next(killing)
                service.kill()
    finally:
        stop.set()
        producing.join()
        service.kill()
    truth = read_all(kafka.bootstrap, topic)
    with service.start(), Calls(service.address) as calls:
        _check(service, topic, truth, "everything")
        calls.run_job("seal")
        assert sum(s.record_count for s in calls.segments(topic)) == sum(map(len, truth.values()))
        assert not any(calls.run_job("seal").values())
    check_manifest(service.store, topic, truth)


def _seals(calls: Calls, topic: str) -> bool:
    """Seals, and looks that all is sealed that was mined before; whether there was anything."""
    ends = {number: each.log_end_offset for number, each in calls.offsets(topic).items()}
    made = calls.run_job("seal")["segments_made"]
    sealed = {segment.partition: segment.end_offset for segment in calls.segments(topic)}
    assert all(sealed.get(number, 0) >= end for number, end in ends.items())
    return made > 0


def test_a_merge_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    """The end of the service does not wait for a merge, which may take half a minute."""
    segments = [seal(tmp_path, full_frames(n * 100, (n + 1) * 100, 100)) for n in range(4)]
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    looks = itertools.count()
    with pytest.raises(ShuttingDown):
        merge_segments(tmp_path, segments, 1, 0, lambda: next(looks) == 2)
    assert next(looks) == 3
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
