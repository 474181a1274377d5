"""What Prometheus and probes are told by a real service, from its start to its end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.stage import eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.promtool import promtool
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce
from tests.unit.web.test_monitoring_files import expressions

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
Name = Callable[[str], str]
Samples = dict[tuple[str, ...], float]
RECORDS = 3_000
TYPES = ("counter", "gauge", "histogram")


def figures(service: ServiceProcess) -> Samples:
    """Every sample by its name and the values of its labels in the order of their names."""
    text = httpx.get(f"{service.web}/metrics", timeout=30).raise_for_status().text
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _ended_streams(service: ServiceProcess) -> float:
    found = figures(service)
    name, labels = "cachesvc_grpc_calls_total", ("Subscribe", "cachesvc.v1.LogCache")
    return sum(found.get((name, status, *labels), 0) for status in ("OK", "CANCELLED"))


def test_figures_say_what_happened(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    topic = topic_name("watched")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, 2))
    produce(kafka.bootstrap, topic, [OutRecord(b"bad", b"[]")])
    of_topic = "default", topic
    with ServiceProcess(tmp_path, kafka.bootstrap, http=True) as service:
        for name in ("copies", "billing"):
            asyncio.run(full(service.address, name, topic))
        # A call ends a moment after its last message was there, with which its client may leave.
        eventually(lambda: _ended_streams(service) == 2, "both calls to have ended")
        found = figures(service)
        assert found["cachesvc_mined_records_total", *of_topic] == RECORDS
        assert found["cachesvc_rejected_records_total", *of_topic] == 1
        assert found["cachesvc_delivered_records_total", *of_topic] == 2 * RECORDS
        assert (
            found["cachesvc_delivered_bytes_total", *of_topic]
            > found["cachesvc_mined_bytes_total", *of_topic]
        )
        assert found["cachesvc_mining_lag_records", *of_topic] == 0
        assert found["cachesvc_readers", "default"] == 1
        _check_what_the_reader_says(service)
        _check_what_top_says(service, topic)
        for name in ("copies", "billing"):
            assert found["cachesvc_subscription_connected", "default", name] == 0
        failed = "cachesvc_grpc_calls_total", "INTERNAL", "Subscribe", "cachesvc.v1.LogCache"
        assert found[failed] == 0
        assert found["cachesvc_journals", "open"] >= 1
        assert found["process_resident_memory_bytes",] > 1e7
        assert found["cachesvc_build_info", "0.1.0"] == 1

        subprocess.run(
            [sys.executable, "-m", "cachesvc", "jobs", "run", "seal", "--address", service.address],
            check=True,
            capture_output=True,
        )
        found = figures(service)
        assert found["cachesvc_job_runs_total", "seal", "succeeded"] == 1
        assert found["cachesvc_segments", *of_topic] == 2
        assert found["cachesvc_segment_bytes", *of_topic] > 0
        assert found["cachesvc_seals_total",] == 2
        _check_with_promtool(service)
        _check_what_is_documented_and_shown(service)


def _check_what_the_reader_says(service: ServiceProcess) -> None:
    """As its system has it, as far as that can be told from outside."""

    def told(name: str, *of: str) -> float:
        found = figures(service).items()
        return sum(value for labels, value in found if {name, *of} <= set(labels))

    # It is told with its next report.
    for name in ("cachesvc_reader_busy_seconds_total", "cachesvc_reader_fetched_bytes_total"):
        eventually(partial(told, name), name)
    eventually(lambda: told("cachesvc_reader_fetches_total", "answered"), "fetches")
    (pid,) = service.reader_pids()
    reader = psutil.Process(pid)
    assert told("cachesvc_reader_cpu_seconds_total") <= sum(reader.cpu_times()[:2]) + 1
    memory = told("cachesvc_reader_resident_bytes")
    assert memory == pytest.approx(reader.memory_info().rss, rel=0.5)
    assert told("cachesvc_reader_open_fds") == pytest.approx(reader.num_fds(), abs=10)
    eventually(lambda: told("cachesvc_reader_unacknowledged_bytes") == 0, "acknowledgements")


def _check_what_top_says(service: ServiceProcess, topic: str) -> None:
    """The same figures as ``/metrics`` has."""
    time.sleep(1)  # as long as an overview may be old
    command = [sys.executable, "-m", "cachesvc", "top", "--once", "--address", service.address]
    before = figures(service)
    shown = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    found = json.loads(shown.stdout)
    assert found["unseen"] == []
    (watched,) = (t for task in found["tasks"] for t in task["topics"] if t["topic"] == topic)
    of_topic, whole = ("default", topic), found["overview"]
    (of_connection,) = whole["connections"]
    delivered = before["cachesvc_delivered_records_total", *of_topic]
    assert of_connection["delivered_records"] == delivered
    assert watched["delivered"]["records_total"] == delivered
    sent_bytes = before["cachesvc_delivered_bytes_total", *of_topic]
    assert watched["delivered"]["bytes_total"] == sent_bytes
    mined = before["cachesvc_mined_records_total", *of_topic]
    assert of_connection["mined_records"] == watched["activity"]["records_total"] == mined
    assert watched["activity"]["lag_records"] == before["cachesvc_mining_lag_records", *of_topic]
    assert whole["disk_bytes"] == before["cachesvc_store_size_bytes",]
    assert sum(whole["mined_to_sent"]["counts"]) == before["cachesvc_mined_to_sent_seconds_count",]
    assert whole["streams"] == before["cachesvc_streams",]
    assert whole["subscriptions"] == len(found["subscriptions"]) == 2
    (reader,) = found["readers"]
    key = "cachesvc_reader_fetched_bytes_total", "default", reader["name"]
    assert reader["figures"]["fetched_bytes"] >= before[key]
    assert topic in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _check_with_promtool(service: ServiceProcess) -> None:
    text = httpx.get(f"{service.web}/metrics").text
    assert promtool("check", "metrics", text=text) == ""


def _check_what_is_documented_and_shown(service: ServiceProcess) -> None:
    """docs/monitoring.md, the dashboard and the rules name what is told, and all of it."""
    text = httpx.get(f"{service.web}/metrics").text
    told = set(re.findall(r"^# TYPE (cachesvc_\w+)", text, re.MULTILINE))
    documented = re.findall(
        r"^\| `(cachesvc_\w+)`", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE
    )
    assert set(documented) == told
    assert len(documented) == len(told)
    used = set()
    for expression in expressions():
        for name in re.findall(r"\bcachesvc_\w+", expression):
            used.add(re.sub(r"_bucket$", "", name))
    assert used <= told
    assert told - used == {"cachesvc_build_info", "cachesvc_job_work_total"} | {
        "cachesvc_job_running",
        "cachesvc_job_last_success_timestamp_seconds",
    }


@contextmanager
def probing(service: ServiceProcess) -> Iterator[list[tuple[str, int, str]]]:
    """What both probes answer within, again and again; nothing is added while nobody listens."""
    answers: list[tuple[str, int, str]] = []
    stop = threading.Event()

    def probe() -> None:
        while not stop.wait(0.01):
            for path in ("livez", "readyz"):
                try:
                    answer = httpx.get(f"{service.web}/{path}", timeout=10)
                except httpx.TransportError:
                    continue
                answers.append((path, answer.status_code, answer.text.strip()))

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def test_probes_from_start_to_end(kafka: KafkaBroker, tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, kafka.bootstrap, http=True)
    with probing(service) as answers:
        service.start()
        eventually(lambda: ("readyz", 200, "ok") in answers, "ready")
        service.stop()
    # Whether anybody asked while the store was opened or the service ended is up to the machine.
    told = [(status, said) for path, status, said in answers if path == "readyz"]
    ready = [at for at, answer in enumerate(told) if answer == (200, "ok")]
    assert all(status == 503 and said for status, said in told if (status, said) != (200, "ok"))

    def when(reason: str) -> list[int]:
        return [at for at, (_, said) in enumerate(told) if said == reason]

    assert max(when("the store is being opened"), default=-1) < ready[0], told
    assert ready[-1] < min(when("the service is about to end"), default=len(told)), told
    assert {status for path, status, _ in answers if path == "livez"} == {200}


def test_an_address_in_use_is_refused(kafka: KafkaBroker, tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "one", kafka.bootstrap, http=True) as first:
        listen = first.web.removeprefix("http://")
        second = ServiceProcess(
            tmp_path / "two", kafka.bootstrap, settings={"http": {"listen": listen}}
        )
        with pytest.raises(AssertionError, match=f"cannot listen on {listen} for HTTP"):
            second.start()


def test_there_may_be_no_listener(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = {"http": {"listen": ""}}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings, http=True) as service,
        pytest.raises(httpx.ConnectError),
    ):
        httpx.get(service.web, timeout=5)


def test_probes_while_the_service_is_stuck(kafka: KafkaBroker, tmp_path: Path) -> None:
    """The process answers for itself; only one that is stopped whole does not."""
    with ServiceProcess(tmp_path, kafka.bootstrap, http=True) as service:
        ready = f"{service.web}/readyz"
        eventually(lambda: httpx.get(ready, timeout=30).status_code == 200, "ready")
        service.signal(signal.SIGSTOP)
        try:
            with pytest.raises(httpx.TimeoutException):
                httpx.get(f"{service.web}/livez", timeout=1)
        finally:
            service.signal(signal.SIGCONT)
        eventually(lambda: httpx.get(ready, timeout=30).status_code == 200, "ready again")
