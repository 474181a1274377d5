"""From appends, deliveries and commits to spans."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cachesvc.app.tracing import traced
from cachesvc.errors import InvalidConfig, PreconditionFailed
from cachesvc.model import TopicId
from cachesvc.settings.traces import TracesConfig
from cachesvc.tracing.export import traces_url
from cachesvc.tracing.remembered import AGE_S_MAX, TRACES_MAX, Delivery, Remembered, Traced
from cachesvc.tracing.spans import Spans
from cachesvc.tracing.traces import Traces
from cachesvc.v1 import mining_pb2 as pb

ORDERS = TopicId("default", "orders", 1).partition(0)
OTHER = TopicId("default", "orders", 1).partition(1)
MS = 1_000_000
NOON = 1_700_000_000_000 * MS


class Stage:
    """Traces with a clock of their own, in milliseconds after noon, and all spans that ended."""

    def __init__(self, subscriptions_max: int = 20) -> None:
        self.now_ms = 50
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(
            Spans(provider.get_tracer("test")),
            subscriptions_max,
            lambda: NOON + self.now_ms * MS,
            lambda: self.now_ms / 1_000,
        )

    def append(
        self, begin: int, end: int, *, done: Any = None, producers: Any = (), **times_ms: int
    ) -> asyncio.Future[None]:
        usual = {"fetch_began": 10, "fetched": 20, "taken": 25, "sent": 40} | times_ms
        produced_ms = usual.pop("produced", 15)
        request = pb.AppendRequest(
            topic="orders",
            base_offset=begin,
            end_offset=end,
            record_count=end - begin,
            max_timestamp_ms=NOON // MS + produced_ms,
            payload=b"12345",
            trace=pb.AppendTrace(
                **{f"{name}_ns": NOON + at * MS for name, at in usual.items()},
                producers=producers,
            ),
        )
        future = done or asyncio.get_running_loop().create_future()
        self.traces.appended(ORDERS, request, future)
        return future

    def publish(self, begin: int, end: int) -> None:
        log, frame = SimpleNamespace(id=ORDERS), SimpleNamespace(base_offset=begin, end_offset=end)
        self.traces.published(log, frame)  # type: ignore[arg-type]

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Name, begin and end of all, in the order of their ends."""
        return [(span.name, _ms(span.start_time), _ms(span.end_time)) for span in self.raw]

    @property
    def raw(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


def _ms(at_ns: int | None) -> int:
    assert at_ns is not None
    assert at_ns % MS == NOON % MS
    return (at_ns - NOON) // MS


def play(scenario: Any, **settings: int) -> None:
    async def run() -> None:
        await scenario(Stage(**settings))

    asyncio.run(run())


def test_an_append_that_is_written_has_its_steps() -> None:
    async def scenario(stage: Stage) -> None:
        producer = pb.TracedProducer(offset=3, trace_id=b"t" * 16, span_id=9)
        stage.append(0, 5, producers=[producer, pb.TracedProducer(trace_id=b"short")])
        stage.now_ms = 60
        stage.publish(0, 5)
        assert stage.spans == [
            ("in the source", 15, 15),
            ("fetch", 15, 20),
            ("wait", 20, 25),
            ("encode", 25, 40),
            ("append", 40, 50),
            ("journal", 50, 60),
            ("mine orders", 15, 60),
        ]
        (link,) = stage.raw[-1].links
        assert link.context.span_id == 9
        assert link.context.trace_id.to_bytes(16) == b"t" * 16
        assert dict(link.attributes or {}) == {"messaging.kafka.offset": 3}
        assert len({span.context.trace_id for span in stage.raw if span.context}) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("times", "begin", "steps"),
    [
        ({"produced": 5}, 5, [("in the source", 5, 10), ("fetch", 10, 20)]),
        # Its clock is ahead, or its timestamp is something else.
        ({"produced": 21}, 10, [("fetch", 10, 20)]),
        # History.
        ({"produced": -3_700_000}, 10, [("fetch", 10, 20)]),
    ],
)
def test_when_a_trace_begins(
    times: dict[str, int], begin: int, steps: list[tuple[str, int, int]]
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.append(0, 5, **times)
        stage.publish(0, 5)
        assert stage.spans[: len(steps)] == steps
        assert stage.spans[-1] == ("mine orders", begin, 50)

    play(scenario)


def test_the_clock_of_another_machine_that_is_ahead_is_put_right() -> None:
    async def scenario(stage: Stage) -> None:
        stage.append(0, 5, produced=1_005, fetch_began=1_000, fetched=1_010, taken=900, sent=1_020)
        stage.publish(0, 5)
        assert stage.spans == [
            ("fetch", 30, 40),
            ("wait", 40, 40),
            ("encode", 40, 50),
            ("append", 50, 50),
            ("journal", 50, 50),
            ("mine orders", 30, 50),
        ]

    play(scenario)


def test_deliveries_and_commits_are_of_the_trace_whose_end_they_reach() -> None:
    async def scenario(stage: Stage) -> None:
        stage.append(0, 5)
        stage.append(5, 9)
        stage.publish(0, 5)
        stage.publish(5, 9)
        first = len(stage.raw)
        stage.now_ms = 70
        stage.traces.sent("copies", ORDERS, 0, 4)
        stage.traces.sent("copies", OTHER, 0, 100)
        assert stage.spans[first:] == []
        stage.traces.sent("copies", ORDERS, 4, 5)
        stage.now_ms = 75
        stage.traces.sent("others", ORDERS, 0, 9)
        stage.now_ms = 80
        stage.traces.committed("copies", {ORDERS: 4})
        stage.traces.committed("copies", {ORDERS: 7, OTHER: 9})
        stage.traces.committed("copies", {ORDERS: 9})  # the second was not delivered to it
        stage.traces.committed("nobody", {ORDERS: 9})
        assert stage.spans[first:] == [
            ("deliver copies", 50, 70),
            ("deliver others", 50, 75),
            ("deliver others", 50, 75),
            ("commit copies", 70, 80),
        ]
        deliver, *_, commit = stage.raw[first:]
        assert commit.parent == deliver.context
        roots = [span for span in stage.raw if span.parent is None]
        assert deliver.parent == roots[0].context

    play(scenario)


def test_what_is_sent_again_is_told_once() -> None:
    async def scenario(stage: Stage) -> None:
        stage.append(0, 5)
        stage.publish(0, 5)
        first = len(stage.raw)
        for _ in range(3):
            stage.traces.sent("copies", ORDERS, 0, 5)
            stage.traces.committed("copies", {ORDERS: 5})
        assert [name for name, *_ in stage.spans[first:]] == ["deliver copies", "commit copies"]

    play(scenario)


def test_a_trace_names_no_more_subscriptions_than_it_may() -> None:
    async def scenario(stage: Stage) -> None:
        stage.append(0, 5)
        stage.publish(0, 5)
        first = len(stage.raw)
        for number in range(10):
            stage.traces.sent(f"copies-{number}", ORDERS, 0, 5)
        assert len(stage.raw) - first == 3

    play(scenario, subscriptions_max=3)


def test_an_append_that_is_refused_at_once_or_later_is_an_error() -> None:
    async def scenario(stage: Stage) -> None:
        stage.append(0, 5, done=PreconditionFailed("no", reason="STALE_EPOCH"))
        later = stage.append(0, 5)
        stage.now_ms = 65
        later.set_exception(PreconditionFailed("no", reason="STORE_FULL"))
        cancelled = stage.append(5, 9)
        cancelled.cancel()
        await asyncio.sleep(0)
        # It comes again, and that is another trace.
        stage.append(0, 5)
        stage.publish(0, 5)
        roots = [span for span in stage.raw if span.name == "mine orders"]
        reasons = ["STALE_EPOCH", "STORE_FULL", "CancelledError", None]
        assert [span.status.description for span in roots] == reasons
        assert (roots[0].attributes or {})["error.type"] == "STALE_EPOCH"
        assert [_ms(span.end_time) for span in roots] == [50, 65, 65, 65]
        assert [name for name, *_ in stage.spans].count("journal") == 1

    play(scenario)


def test_a_delivery_of_a_trace_that_is_forgotten_is_forgotten_too() -> None:
    remembered: Remembered[str] = Remembered()
    old, new = (Traced(ORDERS, 9, name, came_s, 0) for name, came_s in (("a", 0.0), ("b", 500.0)))
    for each in (old, new):
        remembered.add(each)
        remembered.delivered("copies", Delivery(each, f"to copies of {each.span}", 1))
    remembered.add(Traced(OTHER, 1, "c", AGE_S_MAX + 1, 0))
    assert [each.span for each in remembered.committed("copies", ORDERS, 9)] == ["to copies of b"]
    assert not remembered.committed("copies", ORDERS, 9)
    remembered.forget(new)
    remembered.forget(new)
    assert not remembered.ending_in(ORDERS, 0, 10)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=60),
    st.integers(-1, 20),
    st.integers(-1, 20),
)
def test_traces_are_found_by_their_ends(added: list[tuple[int, int]], begin: int, end: int) -> None:
    remembered: Remembered[int] = Remembered()
    topic = TopicId("default", "orders", 1)
    for number, (partition, at) in enumerate(added):
        remembered.add(Traced(topic.partition(partition), at, number, 0.0, 0))
    for partition in range(3):
        found = remembered.ending_in(topic.partition(partition), begin, end)
        wanted = [n for n, (p, at) in enumerate(added) if p == partition and begin < at <= end]
        assert sorted(each.span for each in found) == wanted


def test_old_traces_and_too_many_are_forgotten() -> None:
    def add(number: int, came_s: float) -> None:
        partition = TopicId("default", "orders", 1).partition(number % 3)
        remembered.add(Traced(partition, number, f"span {number}", came_s, 0))

    def known() -> list[int]:
        found = [
            traced.end_offset
            for number in range(3)
            for traced in remembered.ending_in(
                TopicId("default", "orders", 1).partition(number), -1, 10**9
            )
        ]
        return sorted(found)

    remembered: Remembered[str] = Remembered()
    for number in range(TRACES_MAX + 10):
        add(number, 0.0)
    assert known() == list(range(10, TRACES_MAX + 10))
    assert len(remembered) == TRACES_MAX
    add(5_000, AGE_S_MAX + 1)
    assert known() == [5_000]
    assert len(remembered) == 1


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp", "https://c/otlp/v1/traces"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
    ],
)
def test_where_traces_go_over_http(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


@pytest.fixture
def _not_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in sys.modules if name.startswith("cachesvc.tracing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    yield
    monkeypatch.undo()
    importlib.invalidate_caches()


@pytest.mark.usefixtures("_not_installed")
def test_what_has_to_be_installed_is_said() -> None:
    config = TracesConfig(endpoint="http://127.0.0.1:4318")
    with pytest.raises(InvalidConfig) as raised, traced(config, "1"):
        raise AssertionError("it cannot begin")
    text = "settings: traces.endpoint: needs OpenTelemetry, and opentelemetry.trace is not "
    text += "installed; pip install 'cachesvc[traces]', or leave the endpoint out"
    assert str(raised.value) == text


def test_a_service_without_traces_imports_nothing_for_them() -> None:
    program = (
        "import sys, cachesvc.app.service, cachesvc.mining.reader\n"
        "from cachesvc.app.tracing import traced\n"
        "from cachesvc.settings.traces import TracesConfig\n"
        "with traced(TracesConfig(), '1') as traces: assert traces is None\n"
        "names = [n for n in sys.modules if 'opentelemetry' in n or 'cachesvc.tracing' in n]\n"
        "assert not names, names\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
