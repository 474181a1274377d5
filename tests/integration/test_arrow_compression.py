"""Arrow batches in every compression: the same records, made once for all who want the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from cachesvc.client import ArrowCompression, Client, Mode
from cachesvc.log.reading import LogReader
from cachesvc.log.stores import Stores
from cachesvc.model import ArrowCompression as Compression
from cachesvc.serving import batches as batches_module
from cachesvc.serving.batches import Batches, Whose
from cachesvc.serving.forms import Form, body
from cachesvc.store.frames import Frame
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub
from tests.faults.stage import Calls
from tests.support.flights import flights, load_flights
from tests.support.frames import ORDERS, Record, frame
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import read_all
from tests.support.service import ServiceProcess

RECORDS = 12_000
CODECS = {
    pb.ARROW_COMPRESSION_LZ4: "lz4",
    pb.ARROW_COMPRESSION_ZSTD: "zstd",
    pb.ARROW_COMPRESSION_NONE: None,
}
Digest = dict[int, str]


@pytest.fixture(scope="module")
def served(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Digest]]:
    """A service on a topic of flights: its address, the topic, and what the broker has of it."""
    topic = "flights-compressed"
    load_flights(kafka.bootstrap, topic, RECORDS, 2)
    truth = {
        number: digest((record.offset, record.value) for record in rows)
        for number, rows in read_all(kafka.bootstrap, topic).items()
    }
    directory = tmp_path_factory.mktemp("compression")
    with ServiceProcess(directory, kafka.bootstrap) as service:
        yield service.address, topic, truth


def digest(rows: Iterator[tuple[int, bytes | None]]) -> str:
    found = hashlib.sha256()
    for offset, value in rows:
        found.update(b"%d:%s\n" % (offset, value or b""))
    return found.hexdigest()


async def read(address: str, name: str, topic: str, compression: ArrowCompression) -> Digest:
    rows: dict[int, list[tuple[int, bytes | None]]] = {}
    async with (
        asyncio.timeout(60),
        Client(address) as client,
        client.subscribe(
            name, topics=topic, mode=Mode.FULL, arrow_compression=compression
        ) as stream,
    ):
        async for batch in stream:
            found = rows.setdefault(batch.partition, [])
            found += [(record.offset, record.value) for record in batch]
    return {number: digest(iter(found)) for number, found in rows.items()}


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_every_compression_brings_what_the_broker_has(served: tuple[str, str, Digest]) -> None:
    address, topic, truth = served

    async def all_at_once() -> list[Digest]:
        return await asyncio.gather(
            *(
                read(address, f"{compression.name}-{number}", topic, compression)
                for compression in ArrowCompression
                for number in range(3)
            )
        )

    assert asyncio.run(all_at_once()) == [truth] * 9


@pytest.mark.kafka
@pytest.mark.timeout(120)
@pytest.mark.parametrize("compression", CODECS)
def test_batches_are_compressed_as_asked_and_bounded(
    served: tuple[str, str, Digest], compression: pb.ArrowCompression
) -> None:
    """By the bytes of the messages, as a client in any language sees them."""
    address, topic, _ = served
    request = pb.SubscribeRequest(
        subscription=f"raw-{compression}",
        topics=[topic],
        mode=pb.FULL,
        arrow_compression=compression,
        batch_bytes_max=256 << 10,
    )
    count = 0
    with Calls(address) as calls:
        for response in LogCacheStub(calls.channel).Subscribe(request, timeout=60):
            if response.WhichOneof("event") == "batch":
                count += response.batch.record_count
                assert len(response.batch.arrow_ipc) <= 257 << 10
                assert response.batch.arrow_ipc == again(response.batch.arrow_ipc, compression)
    assert count == RECORDS


def again(stream: bytes, compression: pb.ArrowCompression) -> bytes:
    """The same records written by Arrow itself with that codec."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=CODECS[compression], use_threads=False)
    with (
        pa.ipc.open_stream(stream) as batches,
        pa.ipc.new_stream(sink, batches.schema, options=options) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.NONE])
def test_eight_subscribers_share_each_transcoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: Compression
) -> None:
    """Whatever their bounds for batches and the places where they are."""
    form = Form(compression)
    frames = flight_frames(8_000, 2)
    made: Counter[int] = Counter()

    def counted(each: Frame, wanted: Form) -> bytes | memoryview:
        made.update(range(each.base_offset, each.end_offset))
        return body(each, wanted)

    monkeypatch.setattr(batches_module, "body", counted)
    bounds = [1 << 20, 1 << 20, 16 << 20, 700_000, 512 << 10, 1 << 20, 2 << 20, 600_000]
    with ThreadPoolExecutor(2) as threads:
        batches = Batches(LogReader(Stores(tmp_path, {}), threads, 1 << 20), 64 << 20)

        async def run() -> None:
            await asyncio.gather(*(drain(batches, frames, form, bound) for bound in bounds))

        asyncio.run(run())
    assert set(made) == set(range(frames[-1].end_offset))
    assert sum(made.values()) <= 1.1 * len(made), "some were made more than once"


def flight_frames(size: int, count: int) -> list[Frame]:
    rows = [
        Record(offset, value.decode(), key) for offset, (key, value) in enumerate(flights(size))
    ]
    return [
        frame(base, base + size // count, rows[base : base + size // count])
        for base in range(0, size, size // count)
    ]


async def drain(batches: Batches, frames: Sequence[Frame], form: Form, bytes_max: int) -> None:
    position = 0
    while position < frames[-1].end_offset:
        left = [each for each in frames if each.end_offset > position]
        run = await batches.next_run(Whose(ORDERS), left, position, None, form, bytes_max)
        assert sum(len(part.body) for part in run) <= bytes_max
        position = run[-1].frame.end_offset
