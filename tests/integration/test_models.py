"""Models inferred from what was mined of a real broker, while the broker is not asked."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from cachesvc.v1 import models_pb2 as pb
from tests.faults.stage import Calls, refusal
from tests.support.flights import flights
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]
FLIGHTS = 5_000


def _types(model: pb.Model) -> dict[str, str]:
    return {
        field.path: "|".join(
            pb.JsonType.Name(each.type).removeprefix("JSON_").lower() for each in field.types
        )
        for field in model.fields
    }


def test_models_of_flights(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    topic = topic_name("flights")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, [OutRecord(key, value) for key, value in flights(FLIGHTS)])
    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        asyncio.run(full(service.address, "mine", topic))
        missing = pb.DescribeModelRequest(topic=topic)
        code, reason, _ = refusal(lambda: calls.admin.DescribeModel(missing, timeout=30))
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
        unknown = pb.DescribeModelRequest(topic="no-such-topic")
        code, reason, _ = refusal(lambda: calls.admin.DescribeModel(unknown, timeout=30))
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC")
        counts = calls.run_job("models")
        assert counts["records_seen"] == FLIGHTS
        model = calls.admin.DescribeModel(missing, timeout=30).model
        types = _types(model)
        assert types["$.source.pos"] == "integer"
        assert types["$.before"] == "null"
        assert types["$.after.dep_delay"] == "null|integer"
        assert types["$.after.tailnum"] == "null|string"
        assert model.summary.field_count == len(model.fields) == _leaves(FLIGHTS)
        assert not model.changes

        changed = {"op": 7, "after": {"id": "x", "crew": [{"name": "Ada"}, None]}}
        produce(kafka.bootstrap, topic, [OutRecord(b"k", json.dumps(changed).encode())])
        asyncio.run(full(service.address, "mine-on", topic))
        assert calls.run_job("models")["records_seen"] == 1
        model = calls.admin.DescribeModel(missing, timeout=30).model
        assert _types(model)["$.after.crew[*]"] == "null|object"
        changes = {(change.path, pb.ModelChangeKind.Name(change.kind)) for change in model.changes}
        assert ("$.op", "TYPE_ADDED") in changes
        assert ("$.after.crew[*].name", "FIELD_ADDED") in changes
        assert ("$.source", "FIELD_OPTIONAL") in changes
    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        assert calls.admin.DescribeModel(missing, timeout=30).model == model
        pages = list(calls.admin.ListModels(pb.ListModelsRequest(), timeout=30))
        assert [summary for page in pages for summary in page.models] == [model.summary]


def _leaves(count: int) -> int:
    """Fields of the events, counted by a walk over each."""
    paths: set[tuple[str, ...]] = set()

    def walk(value: object, path: tuple[str, ...]) -> None:
        paths.add(path)
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, (*path, name))

    for _, text in flights(count):
        walk(json.loads(text), ())
    return len(paths)
