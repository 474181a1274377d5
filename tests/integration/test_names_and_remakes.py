"""What failed users elsewhere: names with a dot, and what is deleted and made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.faults.stage import CALL_S, Calls, anomalies, objects
from tests.integration.test_connections import create, delete, get, update
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]


def test_names_with_a_dot_do_not_clash(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """Topics x.y and y, of connections with and without a part of the name more."""
    plain = topic_name("c")
    dotted = f"b.{plain}"
    for topic, begin in ((plain, 0), (dotted, 10_000)):
        create_topic(kafka.bootstrap, topic, 2)
        produce(kafka.bootstrap, topic, objects(begin, begin + 400, 2))
    service = ServiceProcess(tmp_path, kafka.bootstrap)
    with service, Calls(service.address) as calls:
        for connection, topic in (("a", dotted), ("a-b", plain)):
            create(calls, connection, kafka.bootstrap)
            seen = asyncio.run(
                full(service.address, f"s-{connection}", topic, connection=connection)
            )
            assert not anomalies(read_all(kafka.bootstrap, topic), seen, topic)
        service.stop()
        service.start()
        for connection, topic in (("a", dotted), ("a-b", plain)):
            seen = asyncio.run(
                full(service.address, f"t-{connection}", topic, connection=connection)
            )
            assert not anomalies(read_all(kafka.bootstrap, topic), seen, topic)


def test_a_connection_that_is_deleted_and_made_again_goes_on(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """Readers are not stuck, and what was cached is neither lost nor there twice."""
    topic = topic_name("again")
    create_topic(kafka.bootstrap, topic, 2)
    service = ServiceProcess(tmp_path, kafka.bootstrap)
    with service, Calls(service.address) as calls:
        for round_ in range(3):
            create(calls, "shop", kafka.bootstrap)
            produce(kafka.bootstrap, topic, objects(300 * round_, 300 * round_ + 300, 2))
            name = f"round-{round_}"
            seen = asyncio.run(full(service.address, name, topic, connection="shop"))
            assert not anomalies(read_all(kafka.bootstrap, topic), seen, topic)
            # Log caching off and on again is the same for its readers.
            found = get(calls, "shop")
            for on in (False, True):
                found.log_caching = on
                update(calls, found)
            produce(kafka.bootstrap, topic, objects(9_000, 9_010, 2))
            seen = asyncio.run(full(service.address, name, topic, connection="shop"))
            assert not anomalies(read_all(kafka.bootstrap, topic), seen, topic)
            request = log_cache.DeleteSubscriptionRequest(subscription=name)
            calls.log_cache.DeleteSubscription(request, timeout=CALL_S)
            delete(calls, "shop")
