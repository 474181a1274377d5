"""What Prometheus and probes are told by a real service, from its start to its end."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
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


def test_figures_say_what_happened(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    topic = topic_name("watched")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, 2))
    produce(kafka.bootstrap, topic, [OutRecord(b"bad", b"[]")])
    of_topic = "default", topic
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        for name in ("copies", "billing"):
            asyncio.run(full(service.address, name, topic))
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
        for name in ("copies", "billing"):
            assert found["cachesvc_subscription_connected", "default", name] == 0
        service_name = "cachesvc.v1.LogCache"
        assert found["cachesvc_grpc_calls_total", "OK", "Subscribe", service_name] == 2
        assert found["cachesvc_grpc_calls_total", "INTERNAL", "Subscribe", service_name] == 0
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
    service = ServiceProcess(tmp_path, kafka.bootstrap)
    with probing(service) as answers:
        service.start()
        eventually(lambda: ("readyz", 200, "ok") in answers, "ready")
        ready = len(answers)
        service.stop()
    assert ("readyz", 503, "the store is being opened") in answers[:ready]
    assert answers[-1] != ("readyz", 200, "ok")
    assert {status for path, status, _ in answers if path == "livez"} == {200}


def test_an_address_in_use_is_refused(kafka: KafkaBroker, tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "one", kafka.bootstrap) as first:
        listen = first.web.removeprefix("http://")
        second = ServiceProcess(
            tmp_path / "two", kafka.bootstrap, settings={"http": {"listen": listen}}
        )
        with pytest.raises(AssertionError, match=f"cannot listen on {listen} for HTTP"):
            second.start()


def test_there_may_be_no_listener(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = {"http": {"listen": ""}}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        pytest.raises(httpx.ConnectError),
    ):
        httpx.get(service.web, timeout=5)


def test_probes_while_the_service_is_stuck(kafka: KafkaBroker, tmp_path: Path) -> None:
    """The process answers for itself; only one that is stopped whole does not."""
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        ready = f"{service.web}/readyz"
        eventually(lambda: httpx.get(ready, timeout=30).status_code == 200, "ready")
        service.signal(signal.SIGSTOP)
        try:
            with pytest.raises(httpx.TimeoutException):
                httpx.get(f"{service.web}/livez", timeout=1)
        finally:
            service.signal(signal.SIGCONT)
        began_s = time.monotonic()
        assert httpx.get(f"{service.web}/readyz", timeout=30).status_code == 200
        assert time.monotonic() - began_s < 30
