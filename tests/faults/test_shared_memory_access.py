"""What a caller was handed is all that it can ever see, once its token is revoked."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import os
import re
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from cachesvc.v1 import access_pb2, admin_pb2_grpc
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub
from tests.faults.stage import Calls, objects
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.kafka_broker import KafkaBroker
from tests.support.lent import told
from tests.support.reading import read_all
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

TOPICS = ("guarded", "secret")
PARTITIONS = 2
RECORDS = 12_000
BYTES = 1_000
SECRET_BEGIN = 5_000_000
OPEN, SECRET = re.compile(rb'{"id": \d{1,5},'), re.compile(rb'{"id": 50\d{5},')
SETTINGS: dict[str, dict[str, Any]] = {"server": {"shared_memory_bytes_max": 16 << 20}}
READER = {
    "rights": ["read", "subscriptions", "commit"],
    "topics": [TOPICS[0]],
    "subscriptions": ["*"],
}
ABOUT = struct.Struct("<cq")
BLOCK = struct.Struct("<cqq")


class Spy:
    """A client that gives everything back and never unmaps anything.

    Args:
        port: Of the service.
    """

    def __init__(self, port: int) -> None:
        self.token = secrets.token_bytes(16)
        self.memory: dict[int, mmap.mmap] = {}
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.settimeout(30)
        self._connection.connect(f"\0cachesvc-shared-memory-{port}")
        self._connection.send(self.token)

    def take(self, number: int) -> None:
        """Takes what was handed over, and gives it back at once."""
        while number not in self.memory:
            message, (descriptor, *_), *_ = socket.recv_fds(self._connection, BLOCK.size, 1)
            _, block, capacity = BLOCK.unpack(message)
            flags, rights = mmap.MAP_SHARED, mmap.PROT_READ
            self.memory[block] = mmap.mmap(descriptor, capacity, flags=flags, prot=rights)
            os.close(descriptor)
        for kind in b"t", b"d":
            self._connection.send(ABOUT.pack(kind, number))

    def sees(self) -> dict[int, str]:
        """All that it can look at."""
        return {number: hashlib.sha256(of).hexdigest() for number, of in self.memory.items()}

    def close(self) -> None:
        """Ends the connection, and looks at nothing any more."""
        self._connection.close()
        self.memory.clear()


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedService]:
    for topic, begin in zip(TOPICS, (0, SECRET_BEGIN), strict=True):
        create_topic(kafka.bootstrap, topic, PARTITIONS)
        produce(kafka.bootstrap, topic, objects(begin, begin + RECORDS, PARTITIONS, BYTES))
    with GuardedService(tmp_path_factory.mktemp("guarded"), kafka.bootstrap, SETTINGS) as started:
        for topic in TOPICS:
            asyncio.run(told(started.address, f"mines-{topic}", topic, token=OF_FILE))
        yield started


@pytest.fixture
def spy(service: GuardedService) -> Iterator[Spy]:
    found = Spy(int(service.address.rpartition(":")[2]))
    yield found
    found.close()


@contextmanager
def _admin(service: GuardedService) -> Iterator[Any]:
    with grpc.insecure_channel(service.address) as channel:
        yield admin_pb2_grpc.AdminStub(channel)


def _revoke(service: GuardedService, principal: str) -> None:
    ops = (("authorization", f"Bearer {OF_FILE}"),)
    with _admin(service) as admin:
        wanted = access_pb2.ListTokensRequest(principal=principal)
        for each in admin.ListTokens(wanted, metadata=ops, timeout=30).tokens:
            request = access_pb2.RevokeTokenRequest(id=each.id)
            admin.RevokeToken(request, metadata=ops, timeout=30)


def _read_and_revoke(stream: Any, spy: Spy, service: GuardedService) -> None:
    """Takes all that there is, has the token revoked, and waits for what comes then."""
    count = 0
    for response in stream:
        if response.WhichOneof("event") == "batch":
            if response.batch.HasField("shared"):
                spy.take(response.batch.shared.block)
            count += response.batch.record_count
            if count == RECORDS:
                _revoke(service, "spy")


def test_memory_that_a_revoked_caller_has_seen_is_filled_for_nobody(
    kafka: KafkaBroker, service: GuardedService, spy: Spy
) -> None:
    """It has mapped all of it, and gave all back, so that nothing else keeps it from being used."""
    secret = service.make_token("spy", READER)
    request = pb.SubscribeRequest(
        subscription="spies",
        topics=[TOPICS[0]],
        mode=pb.FULL_AND_INCREMENTAL,
        shared_memory=spy.token,
    )
    metadata = (("authorization", f"Bearer {secret}"),)
    with Calls(service.address) as calls:
        stub: Any = LogCacheStub(calls.channel)
        stream = stub.Subscribe(request, metadata=metadata, timeout=120)
        with pytest.raises(grpc.RpcError) as ended:
            _read_and_revoke(stream, spy, service)
    code: Any = ended.value.code()
    assert code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    seen = spy.sees()
    assert seen
    for number in range(3):
        for topic in TOPICS:
            found = asyncio.run(
                told(service.address, f"after-{number}-{topic}", topic, token=OF_FILE)
            )
            assert found.lent
            assert not found.wrong(read_all(kafka.bootstrap, topic), topic)
    assert spy.sees() == seen


def test_memory_never_has_records_of_another_topic(service: GuardedService, spy: Spy) -> None:
    """What a caller that may read one topic has mapped, while others read another one."""
    secret = service.make_token("one", READER)
    request = pb.SubscribeRequest(
        subscription="one-topic", topics=[TOPICS[0]], mode=pb.FULL, shared_memory=spy.token
    )
    metadata = (("authorization", f"Bearer {secret}"),)
    with Calls(service.address) as calls:
        stub: Any = LogCacheStub(calls.channel)
        for response in stub.Subscribe(request, metadata=metadata, timeout=120):
            if response.WhichOneof("event") == "batch" and response.batch.HasField("shared"):
                spy.take(response.batch.shared.block)
                if len(spy.memory) > 1:
                    break
        for number in range(3):
            name = f"secret-{number}"
            asyncio.run(told(service.address, name, TOPICS[1], token=OF_FILE))
        assert any(OPEN.search(memory) for memory in spy.memory.values())
        assert not any(SECRET.search(memory) for memory in spy.memory.values())
