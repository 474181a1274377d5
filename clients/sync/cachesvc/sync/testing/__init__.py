"""The conformance suite for sinks: what every sink has to do, whoever wrote it.

Needs pytest, and nothing of it but that it finds the tests. A package with a sink has a module such
as this among its tests, and a way to read the sink's target:

    import pytest
    from cachesvc.sync.testing import SinkSuite, SinkTarget

    class TestRedis(SinkSuite):
        @pytest.fixture
        def target(self) -> SinkTarget:
            return SinkTarget(REDIS, {"address": ADDRESS}, read=read_back, holds="rows")

The suite writes objects with the fields ``id`` (integer, unique over all partitions), ``partition``
and ``number`` (integers) and ``note`` (text); keys are objects with ``id`` alone. A sink with
columns needs those four, with ``id`` as the key.
"""

from cachesvc.sync.testing.suite import SinkSuite
from cachesvc.sync.testing.target import Found, SinkTarget
from cachesvc.sync.testing.writes import (
    IDS_PER_PARTITION,
    TOPIC,
    Write,
    changes,
    delete,
    delivery,
    put,
)

__all__ = [
    "IDS_PER_PARTITION",
    "TOPIC",
    "Found",
    "SinkSuite",
    "SinkTarget",
    "Write",
    "changes",
    "delete",
    "delivery",
    "put",
]
