"""What the README has a newcomer type, typed on a real broker."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import grpc
import pytest

from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
README = Path(__file__).parents[2] / "README.md"
_ENDLESS = {"tail": ["--count", "5"]}


def _commands(section: str) -> list[list[str]]:
    """The words of every call of ``cachesvc`` in a section of the README, ``serve`` left out."""
    text = README.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\.venv/bin/cachesvc (.*)$", text, re.MULTILINE)
    return [words for line in lines if (words := shlex.split(line, comments=True))[0] != "serve"]


def _run(service: ServiceProcess, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", *words],
        env={**os.environ, "CACHESVC_ADDRESS": service.address},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_commands_of_the_readme_and_its_query(kafka: KafkaBroker, tmp_path: Path) -> None:
    create_topic(kafka.bootstrap, "orders", 2)
    produce(kafka.bootstrap, "orders", objects(0, 100, 2))
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        shown = {}
        for words in [*_commands("Run it against your Kafka"), *_commands("Query the history")]:
            shown[words[0]] = _run(service, *words, *_ENDLESS.get(words[0], []))
        assert len(shown["tail"].splitlines()) == 5
        assert "orders" in shown["topics"]
        assert sum(int(line.split()[-1]) for line in shown["sql"].splitlines()[1:]) == 100
        (query,) = re.findall(r"```sql\n(.*?);\n```", README.read_text(), re.DOTALL)
        with duckdb.connect() as database:
            files = query.replace("'store/", f"'{service.store}/")
            counted = database.execute(files).fetchall()
        assert sum(count for _, count in counted) == 100
        for words in (["topics", "orders"], ["rejects", "orders"], ["mining", "watch", "--once"]):
            _run(service, *words)


def test_lag_tells_of_a_stream_that_commits_only_later(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("uncommitted")
    create_topic(kafka.bootstrap, topic, 1)
    produce(kafka.bootstrap, topic, objects(0, 100))
    request = log_cache.SubscribeRequest(
        subscription="billing", topics=[topic], mode=log_cache.FULL_AND_INCREMENTAL
    )
    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        stream = calls.log_cache.Subscribe(request)
        reading = threading.Thread(target=lambda: _drained(stream))
        reading.start()

        def lag() -> list[tuple[object, object, object]]:
            rows = json.loads(_run(service, "--json", "lag", "billing"))
            return [(row["position"], row["delivered"], row["lag_records"]) for row in rows]

        eventually(lambda: lag() == [(None, 100, 0)], "the stream to be at the log's end")
        epoch = calls.log_cache.GetSubscription(
            log_cache.GetSubscriptionRequest(subscription="billing")
        ).subscription.epoch
        position = log_cache.Position(topic=topic, partition=0, incarnation=1, offset=40)
        calls.log_cache.Commit(
            log_cache.CommitRequest(subscription="billing", epoch=epoch, positions=[position])
        )
        assert lag() == [(40, 100, 60)]
        stream.cancel()
        reading.join()
        eventually(lambda: lag() == [(40, None, 60)], "the stream to be gone")


def _drained(stream: object) -> None:
    try:
        for _ in stream:  # type: ignore[attr-defined]
            pass
    except grpc.RpcError:
        return
