"""The calls besides streams, and how the client connects."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from cachesvc.client import (
    Client,
    MiningState,
    Mode,
    NotFound,
    Position,
    StreamClosed,
    SubscriptionDeleted,
    SubscriptionReset,
    Tls,
    Unavailable,
    request_id,
)
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import FIRST_TIMESTAMP_MS, Key, Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import connected, in_event_loop
from tests.support.left_out import leave_out
from tests.support.ports import free_ports

KEY: Key = ("orders", 0)
OFFSETS = [3, 4, 7]


def made_cache() -> FakeLogCache:
    return FakeLogCache(Logs({KEY: OFFSETS, ("orders", 1): []}))


@in_event_loop
async def test_offsets_of_a_topic() -> None:
    at = datetime.fromtimestamp((FIRST_TIMESTAMP_MS + 5) / 1000, UTC)
    async with connected(made_cache()) as client:
        first, empty = await client.list_offsets("orders")
        (at_time, _) = await client.list_offsets("orders", at=at)
        assert await client.list_offsets("else") == []
    assert (first.topic, first.partition, first.incarnation) == ("orders", 0, 1)
    assert (first.log_start_offset, first.log_end_offset) == (3, 8)
    assert first.source_high_watermark is None
    assert first.offset_at_timestamp is None
    assert first.mining_state is MiningState.MINING
    assert (empty.log_start_offset, empty.log_end_offset) == (0, 0)
    assert at_time.offset_at_timestamp == 7


@in_event_loop
async def test_which_cluster_the_source_is() -> None:
    cache = made_cache()
    async with connected(cache) as client:
        assert await client.cluster_id("orders") == ""
        cache.cluster_id = "Sn9dWZ1hQxm0z5oFEXxT9g"
        assert await client.cluster_id() == cache.cluster_id


@in_event_loop
async def test_the_durable_side_of_a_subscription() -> None:
    async with connected(made_cache()) as client:
        async with client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream:
            batch = await anext(aiter(stream))
            await stream.commit()
            subscription = await client.get_subscription("billing")
            assert subscription.connected
            assert subscription.mode is Mode.FULL
            assert subscription.committed_ms is None
            positions = {each.position for each in subscription.partitions}
            assert positions == {batch.position, Position("orders", 1, 0, 1)}
        assert [each.name for each in await client.list_subscriptions()] == ["billing"]
        await client.delete_subscription("billing")
        assert await client.list_subscriptions() == []
        with pytest.raises(NotFound) as caught:
            await client.get_subscription("billing")
        assert caught.value.reason == "UNKNOWN_SUBSCRIPTION"


@in_event_loop
async def test_reset_and_delete_end_a_live_stream() -> None:
    mode = Mode.FULL_AND_INCREMENTAL
    async with connected(made_cache()) as client:
        async with client.subscribe("billing", topics="orders", mode=mode) as stream:
            await anext(aiter(stream))
            await client.reset_subscription("billing", start={KEY: 4}, forget_full_sync=True)
            with pytest.raises(SubscriptionReset):
                await anext(aiter(stream))
        async with client.subscribe("billing", topics="orders", mode=mode) as stream:
            assert (await anext(aiter(stream))).base_offset == 4
            await client.delete_subscription("billing")
            with pytest.raises(SubscriptionDeleted):
                await anext(aiter(stream))


@in_event_loop
async def test_each_call_goes_by_an_id_which_may_be_the_callers() -> None:
    cache, mode = made_cache(), Mode.FULL
    async with serving(cache) as target, Client(target) as client:
        seen = set()
        for _ in range(2):
            await client.list_offsets("orders")
            seen.add(cache.metadata["x-request-id"])
            async with client.subscribe("billing", topics="orders", mode=mode):
                seen.add(cache.metadata["x-request-id"])
        assert len(seen) == 4
        with request_id("order-4711"):
            await client.list_offsets("orders")
            assert cache.metadata["x-request-id"] == "order-4711"
            async with client.subscribe("billing", topics="orders", mode=mode):
                assert cache.metadata["x-request-id"] == "order-4711"
            with pytest.raises(NotFound) as caught:
                await client.get_subscription("nothing")
            assert caught.value.request_id == "order-4711"
        await client.list_offsets("orders")
        assert cache.metadata["x-request-id"] not in {*seen, "order-4711"}
    with pytest.raises(ValueError, match="a request id has 1 to 64"), request_id("two words"):
        pass


@in_event_loop
async def test_the_token_goes_along_and_is_shown_nowhere() -> None:
    cache = made_cache()
    async with serving(cache) as target, Client(target, token="s3cret") as client:
        await client.list_offsets("orders")
        assert cache.metadata["authorization"] == "Bearer s3cret"
        cache.metadata.clear()
        async with client.subscribe("billing", topics="orders", mode=Mode.FULL):
            assert cache.metadata["authorization"] == "Bearer s3cret"
        assert "s3cret" not in repr(client)
    async with connected(cache) as client:
        await client.list_offsets("orders")
        assert "authorization" not in cache.metadata


@in_event_loop
async def test_the_application_goes_before_grpc_in_the_user_agent() -> None:
    cache = made_cache()
    async with serving(cache) as target, Client(target, application="loader/2.1") as client:
        await client.list_offsets("orders")
        assert str(cache.metadata["user-agent"]).startswith("loader/2.1 grpc-python-asyncio/")
    async with connected(cache) as client:
        await client.list_offsets("orders")
        assert str(cache.metadata["user-agent"]).startswith("grpc-python-asyncio/")
    for wrong in ("a\nb", "ö"):
        with pytest.raises(ValueError, match="application"):
            Client(target, application=wrong)


@in_event_loop
async def test_a_service_that_is_not_there_is_unavailable() -> None:
    (port,) = free_ports(1)
    async with Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(Unavailable) as caught:
            await client.list_subscriptions()
    assert caught.value.retriable


@in_event_loop
async def test_a_client_works_only_inside_its_async_with() -> None:
    async with serving(made_cache()) as target:
        client = Client(target)
        with pytest.raises(StreamClosed):
            client.subscribe("billing", topics="orders", mode=Mode.FULL)
        async with client:
            await client.list_subscriptions()
            with pytest.raises(StreamClosed, match="open already"):
                await client.__aenter__()
            kept = client._service
        with pytest.raises(StreamClosed):
            await client.list_subscriptions()
        with pytest.raises(StreamClosed, match="closed"):
            await kept.call(kept.list_subscriptions, pb.ListSubscriptionsRequest(), 1.0)
        async with client:
            await client.list_subscriptions()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for cache.example that vouches for itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        leave_out("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=cache.example"]
    names = ["-addext", "subjectAltName=DNS:cache.example"]
    subprocess.run(
        [openssl, "req", "-x509", *options, *names, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    return cert, key


@in_event_loop
async def test_tls(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    trusting = Tls(ca_file=cert, server_name="cache.example")
    async with serving(made_cache(), credentials=credentials) as target:
        async with (
            Client(target, tls=trusting) as client,
            client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream,
        ):
            assert [record.offset async for record in stream.records()] == OFFSETS
        for distrusting in (Tls(ca_file=cert), Tls(server_name="cache.example"), None):
            async with Client(target, tls=distrusting) as client:
                with pytest.raises(Unavailable):
                    await client.list_subscriptions()


def test_a_missing_file_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client("127.0.0.1:1", tls=Tls(ca_file=tmp_path / "none.pem"))
