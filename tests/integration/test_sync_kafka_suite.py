"""What every sink has to do, with Kafka as the target."""

import json
from collections.abc import Callable, Iterator

import pytest

from cachesvc.sync.sinks.kafka import KAFKA
from cachesvc.sync.testing import Found, SinkSuite, SinkTarget
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import await_decided
from tests.support.topics import create_topic, read_all

pytestmark = pytest.mark.kafka


class TestConformance(SinkSuite):
    @pytest.fixture(params=[False, True], ids=["at least once", "exactly once"])
    def target(
        self, request: pytest.FixtureRequest, kafka: KafkaBroker, topic_name: Callable[[str], str]
    ) -> SinkTarget:
        topic = topic_name("suite")
        create_topic(kafka.bootstrap, topic, 3, {"max.message.bytes": str(2 << 20)})

        def read() -> Iterator[Found]:
            await_decided(kafka.bootstrap, topic)
            for records in read_all(kafka.bootstrap, topic).values():
                for record in records:
                    value = None if record.value is None else json.loads(record.value)
                    yield Found(json.loads(record.key or b"")["id"], value)

        settings = {
            "bootstrap_servers": [kafka.bootstrap],
            "topic": topic,
            "partitioner": "keep",
            "ignore_push_errors": True,
            "exactly_once": request.param,
            "positions_topic": f"{topic}-positions",
        }
        refused = {"id": 6, "partition": 0, "number": 6, "note": "x" * (3 << 20)}
        return SinkTarget(KAFKA, settings, read, holds="changes", refused=refused)
