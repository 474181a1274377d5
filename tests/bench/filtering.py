"""A worker's part of B15: the same records by a filter of the service, and by one of its own."""

from __future__ import annotations

import asyncio
import time
import uuid

import grpc
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.client import Client, Mode
from cachesvc.v1 import log_cache_pb2 as pb
from tests.bench.digest import Digest, Json
from tests.bench.worker import Say

_METHOD = "/cachesvc.v1.LogCache/Subscribe"
_MESSAGE_BYTES_MAX = 64 << 20


def by_service(job: Json, _: Say) -> Json:
    """Read what the service leaves."""
    return asyncio.run(_read(job, filtered=True))


def by_client(job: Json, _: Say) -> Json:
    """Read everything and leave the same."""
    return asyncio.run(_read(job, filtered=False))


def count_bytes(job: Json, _: Say) -> Json:
    """Count the bytes of all messages, with the filter and without."""
    return {"filtered": _bytes(job, job["filter"]), "all": _bytes(job, "")}


async def _read(job: Json, *, filtered: bool) -> Json:
    digest = Digest()
    test, kind = getattr(pc, job["test"]), pa.type_for_alias(job["kind"])
    ends = {(job["topic"], int(number)): end for number, end in job["ends"].items()}
    began = time.perf_counter()
    async with (
        Client(job["target"]) as client,
        client.subscribe(
            f"bench-{uuid.uuid4().hex}",
            mode=Mode.FULL_AND_INCREMENTAL,
            topics=job["topic"],
            end=ends,
            filter=job["filter"] if filtered else "",
        ) as stream,
    ):
        async for batch in stream:
            table = batch.to_arrow()
            if not filtered:
                table = table.filter(test(batch.field(job["path"], kind), job["literal"]))
            for part in table.to_batches():
                digest.add_batch(batch.partition, part)
        reached = {str(p.partition): p.offset for p in stream.position.values()}
    assert reached == job["ends"], f"{reached} instead of {job['ends']}"
    return {"seconds": time.perf_counter() - began, "digest": digest.to_json()}


def _bytes(job: Json, text: str) -> int:
    request = pb.SubscribeRequest(
        subscription=f"bench-{uuid.uuid4().hex}",
        topics=[job["topic"]],
        mode=pb.FULL_AND_INCREMENTAL,
        filter_text=text,
        end=pb.Positions(
            positions=[
                pb.Position(topic=job["topic"], partition=int(number), offset=end)
                for number, end in job["ends"].items()
            ]
        ),
    )
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX)]
    with grpc.insecure_channel(job["target"], options=options) as channel:
        call = channel.unary_stream(_METHOD, pb.SubscribeRequest.SerializeToString, len)
        return sum(call(request))
