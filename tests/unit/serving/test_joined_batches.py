"""Joined or not, a client gets the same events in the same order."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.serving.joined_batches import JOINED_BYTES_MAX, JoinedBatches
from cachesvc.v1 import log_cache_pb2 as pb

SMALL = st.integers(0, 60_000)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("batch"), st.one_of(st.integers(0, 300), SMALL, st.just(100_000))),
        st.tuples(st.just("event"), st.just(0)),
        st.tuples(st.just("flush"), st.just(0)),
    ),
    max_size=30,
)


def sent(steps: list[tuple[str, int]], *, joins: bool) -> list[pb.SubscribeResponse]:
    messages: list[bytes] = []

    async def write(message: bytes) -> None:
        messages.append(message)

    async def run() -> None:
        out = JoinedBatches(write, joins=joins)
        for number, (kind, size) in enumerate(steps):
            if kind == "batch":
                batch = pb.Batch(topic="orders", base_offset=number, arrow_ipc=bytes(size))
                await out.batch(pb.SubscribeResponse(batch=batch).SerializeToString())
            elif kind == "event":
                caught_up = pb.CaughtUp(topic=str(number))
                await out.event(pb.SubscribeResponse(caught_up=caught_up).SerializeToString())
            else:
                await out.flush()
                assert all(len(each) <= JOINED_BYTES_MAX for each in messages if joined_in(each))
        await out.flush()

    asyncio.run(run())
    return [pb.SubscribeResponse.FromString(message) for message in messages]


def joined_in(message: bytes) -> bool:
    return bool(pb.SubscribeResponse.FromString(message).WhichOneof("event") == "batches")


def one_by_one(responses: list[pb.SubscribeResponse]) -> list[pb.SubscribeResponse]:
    return [
        each
        for response in responses
        for each in (
            [pb.SubscribeResponse(batch=batch) for batch in response.batches.batch]
            if response.WhichOneof("event") == "batches"
            else [response]
        )
    ]


@given(steps)
def test_the_order_is_the_same(steps: list[tuple[str, int]]) -> None:
    alone = sent(steps, joins=False)
    assert len(alone) == sum(kind != "flush" for kind, _ in steps)
    assert one_by_one(sent(steps, joins=True)) == alone


def test_small_batches_go_together_until_something_else_comes() -> None:
    steps = [("batch", 10)] * 4 + [("event", 0)] + [("batch", 10)] + [("flush", 0)]
    found = sent([*steps, ("batch", 100_000), ("batch", 10), ("batch", 10)], joins=True)
    assert [each.WhichOneof("event") for each in found] == [
        "batches",
        "caught_up",
        "batch",
        "batch",
        "batches",
    ]
