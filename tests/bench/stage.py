"""What benchmarks run on: a broker with loaded topics, a directory, and a report to write into."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException

from tests.bench.digest import Json
from tests.bench.options import Options
from tests.bench.processes import BenchError, Worker, workers
from tests.bench.report import Check, Report
from tests.bench.service import Service, Settings
from tests.support.flights import load_flights
from tests.support.kafka_broker import KafkaBroker
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, delete_topic, watermarks

PARTITIONS = 4
_PARQUET: Settings = {"store": {"warm_bytes_max": 0, "segment_age_s_max": 2.0}}
"""Of a service that soon has nothing but segments."""
_NAME = "cachesvc-bench"
_PATIENCE_S = 90.0
# Of the broker; B12 with 10,000 partitions needs more than the tests do.
_HEAP_MB = 1_024
_PATIENCE_S_PER_RECORD = 1 / 5_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A topic with flights, and what reading it has to give.

    Attributes:
        name: Of the topic.
        records: How many it has; offsets begin at 0 and have no holes.
        ends: Partition number, as text, to the offset behind its last record.
        truth: Tally and checksums, as `Digest.to_json` returns them, read from the broker.
    """

    name: str
    records: int
    ends: Mapping[str, int]
    truth: Json


class Stage:
    """One run's broker, topics, processes and report; a context.

    Args:
        options: What was asked for.
        directory: For data and logs.
        report: Where checks go.

    Attributes:
        bootstrap: Where the broker is.
        broker: The broker that was started; None for one that was there.
        proxy: Before `broker.proxied_bootstrap`; None unless a figure needs it.
    """

    def __init__(self, options: Options, directory: Path, report: Report) -> None:
        self.options = options
        self.report = report
        self.bootstrap = options.kafka or ""
        self.broker: KafkaBroker | None = None
        self.proxy: TcpProxy | None = None
        self._directory = directory
        self._began = time.monotonic()
        self._topics: dict[int, Loaded] = {}
        self._sealed: dict[str, Service] = {}
        self._idle: dict[str, list[Worker]] = {}
        self._to_delete: list[str] = []
        self._numbers = itertools.count(1)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            if not self.options.kafka:
                self._start_broker()
            elif self.options.keep is None:
                self._open.callback(self._delete_topics)
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def say(self, what: str) -> None:
        """Tell whoever waits how far things are."""
        print(f"[{time.monotonic() - self._began:6.0f} s] {what}", file=sys.stderr, flush=True)

    def runs(self, name: str) -> Iterator[int]:
        """Number the runs of a figure from 0, and say where it is."""
        for run in range(self.options.runs):
            self.say(f"{name}: run {run + 1} of {self.options.runs}")
            yield run

    def topic(self, records: int) -> Loaded:
        """Return a topic with so many flights; it is loaded once, and checksummed."""
        if records not in self._topics:
            name = f"{_NAME}-flights-{records}"
            self._load(name, records)
            self._to_delete.append(name)
            ends = {str(p): end for p, (_, end) in watermarks(self.bootstrap, name).items()}
            job = {"bootstrap": self.bootstrap, "topic": name, "ends": ends}
            with self.workers("direct") as (worker,):
                truth = worker.run("digest", job, self.patience_s(records))["digest"]
            self._topics[records] = Loaded(name, records, ends, truth)
        return self._topics[records]

    def sealed(self, topic: Loaded) -> Service:
        """Return a service with a topic in segments alone, not started; it is mined once.

        Nothing is in its caches when it is started, whoever had it before.
        """
        if topic.name not in self._sealed:
            self.say("mining the store that is read from Parquet")
            with contextlib.ExitStack() as opened:
                service = opened.enter_context(self.service("parquet", _PARQUET))
                service.mine(topic.name, topic.records, self.patience_s(topic.records))
                service.await_all_sealed(topic.name, self.patience_s(topic.records))
                self._open.push(opened.pop_all())
            self._sealed[topic.name] = service
        service = self._sealed[topic.name]
        service.stop()
        return service

    @contextlib.contextmanager
    def empty_topic(self) -> Iterator[str]:
        """Make a topic without records; delete it afterwards."""
        name = f"{_NAME}-live-{next(self._numbers)}-{time.time_ns()}"
        create_topic(self.bootstrap, name, PARTITIONS)
        try:
            yield name
        finally:
            delete_topic(self.bootstrap, name)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give the path of a file that is removed afterwards."""
        path = self._directory / f"{next(self._numbers):03}-{name}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def service(
        self, label: str, settings: Settings | None = None, bootstrap: str | None = None
    ) -> Service:
        """Return a service, not yet started, with a store of its own."""
        directory = self._directory / f"{label}-{next(self._numbers):03}"
        return Service(directory, bootstrap or self.bootstrap, settings)

    def workers(self, side: str, count: int = 1) -> contextlib.AbstractContextManager[list[Worker]]:
        """Start workers of a side: direct, cache or live; see `processes.workers`."""
        if self.options.reuse and count == 1:
            return self._one_from_before(side)
        return workers(f"tests.bench.{side}", count, self._directory / f"{side}.log")

    @contextlib.contextmanager
    def _one_from_before(self, side: str) -> Iterator[list[Worker]]:
        """Give a worker that is idle, or a new one; who fails with it leaves it to nobody."""
        found = self._idle.pop(side, None)
        if found is None:
            log = self._directory / f"{side}.log"
            found = self._open.enter_context(workers(f"tests.bench.{side}", 1, log))
        yield found
        self._idle[side] = found

    def direct_job(self, topic: Loaded) -> Json:
        """Return what a direct worker has to know to read a topic."""
        return {"bootstrap": self.bootstrap, "topic": topic.name, "ends": dict(topic.ends)}

    def cache_job(self, service: Service, topic: Loaded) -> Json:
        """Return what a task has to know to read a topic."""
        return {"target": service.target, "topic": topic.name, "ends": dict(topic.ends)}

    def patience_s(self, records: int) -> float:
        """Return how long something with so many records may take on a slow machine."""
        return _PATIENCE_S + records * _PATIENCE_S_PER_RECORD

    def check(self, name: str, passed: bool, detail: str) -> None:
        """Enter a check; one that fails is told at once."""
        self.report.checks.append(Check(name, passed, "" if passed else detail))
        if not passed:
            self.say(f"FAILED {name}: {detail}")

    def check_tally(self, name: str, topic: Loaded, tally: Json) -> None:
        """Check count, sum of offsets and bytes of values of what a timed pass delivered."""
        expected = topic.truth["tally"]
        self.check(f"{name}: sums", tally == expected, f"{tally} instead of {expected}")

    def check_digest(self, name: str, topic: Loaded, digest: Json) -> None:
        """Check the checksums over offsets, sizes and values of every partition."""
        detail = f"{digest} instead of {topic.truth}"
        self.check(f"{name}: checksums", digest == topic.truth, detail)

    def _start_broker(self) -> None:
        if "B1" in self.options.only:
            self.proxy = TcpProxy()
        port = self.proxy.port if self.proxy is not None else None
        self.say("starting Kafka")
        self.broker = KafkaBroker(self._directory / "kafka", proxy_port=port, heap_mb=_HEAP_MB)
        self._open.enter_context(self.broker)
        if self.proxy is not None:
            self._open.enter_context(self.proxy)
            self.proxy.forward_to(self.broker.proxied_listen_port)
        self.bootstrap = self.broker.bootstrap

    def _load(self, name: str, records: int) -> None:
        try:
            found = sum(end for _, end in watermarks(self.bootstrap, name, 5.0).values())
        except KafkaException:
            found = None
        if found == records:
            self.say(f"topic {name} is there")
            return
        if found is not None:
            delete_topic(self.bootstrap, name)
        self.say(f"loading topic {name}")
        began = time.monotonic()
        load_flights(self.bootstrap, name, records, PARTITIONS)
        self.say(f"loaded {records:,} records in {time.monotonic() - began:.0f} s")

    def _delete_topics(self) -> None:
        for name in self._to_delete:
            delete_topic(self.bootstrap, name)


def in_turn(run: int, *sides: Callable[[], None]) -> None:
    """Measure both sides, every second run the other way round, so that drift hits both."""
    for side in sides if run % 2 == 0 else reversed(sides):
        side()


def require_broker(stage: Stage) -> KafkaBroker:
    """Return the broker that this run started.

    Raises:
        BenchError: it uses one that was there.
    """
    if stage.broker is None:
        raise BenchError("needs a broker of its own")
    return stage.broker
