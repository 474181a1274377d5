"""A broker that takes records of 150 MB, for the tests of records that are out of the ordinary."""

from collections.abc import Iterator

import pytest

from tests.support.kafka_broker import KafkaBroker

BYTES_MAX = 150_000_000
LARGE = {"message.max.bytes": BYTES_MAX, "batch.size": BYTES_MAX}
"""Settings of a producer of such records."""


@pytest.fixture(scope="module")
def large_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A started broker, shared by the tests of a module."""
    broker = KafkaBroker(
        tmp_path_factory.mktemp("large-kafka"),
        heap_mb=1_536,
        config={
            "message.max.bytes": str(BYTES_MAX),
            "replica.fetch.max.bytes": str(BYTES_MAX),
            "socket.request.max.bytes": str(2 * BYTES_MAX),
        },
        jvm_options=("-XX:TieredStopAtLevel=1",),
    )
    with broker:
        yield broker
    broker.discard_data()
