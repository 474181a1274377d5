from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.client import (
    Batch,
    CaughtUp,
    Ended,
    FellBehind,
    Gap,
    GapCause,
    MiningState,
    PartitionAdded,
    PartitionProgress,
    PartitionsAssigned,
    PartitionsRevoked,
    Position,
    Positions,
    Progress,
    ServiceFault,
    SnapshotStart,
    Started,
)
from cachesvc.client.incoming import Lent, received
from cachesvc.v1 import log_cache_pb2 as pb

int32 = st.integers(min_value=0, max_value=2**31 - 1)
int64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)

batches = st.builds(
    pb.Batch,
    topic=st.text(max_size=300),
    partition=int32,
    incarnation=int32,
    base_offset=int64,
    next_position=int64,
    record_count=int32,
    arrow_ipc=st.binary(max_size=300),
)


def described(batch: Batch) -> tuple[object, ...]:
    return (
        batch.topic,
        batch.partition,
        batch.incarnation,
        batch.base_offset,
        batch.next_position,
        batch.record_count,
    )


@given(batches)
def test_a_batch_taken_apart_is_the_batch_as_parsed(message: pb.Batch) -> None:
    (batch,) = received(pb.SubscribeResponse(batch=message).SerializeToString())
    assert isinstance(batch, Batch)
    assert described(batch) == (
        message.topic,
        message.partition,
        message.incarnation,
        message.base_offset,
        message.next_position,
        message.record_count,
    )
    payload = getattr(batch.payload, "_data", b"")
    assert bytes(payload) == message.arrow_ipc


@given(batches, st.binary(max_size=8), st.data())
def test_a_batch_of_any_other_form_is_left_to_the_parser(
    message: pb.Batch, extra: bytes, data: st.DataObject
) -> None:
    serialized = pb.SubscribeResponse(batch=message).SerializeToString()
    at = data.draw(st.integers(0, len(serialized)))
    changed = serialized[:at] + extra + serialized[at:]
    try:
        expected = pb.SubscribeResponse.FromString(changed)
    except Exception:
        with pytest.raises(ServiceFault):
            list(received(changed))
        return
    for got in received(changed):
        if not isinstance(got, Batch) or expected.WhichOneof("event") == "batches":
            continue
        assert expected.WhichOneof("event") == "batch"
        assert described(got)[3:] == (
            expected.batch.base_offset,
            expected.batch.next_position,
            expected.batch.record_count,
        )
        assert got.topic == expected.batch.topic


def all_of(batch: Batch) -> tuple[object, ...]:
    return (*described(batch), bytes(getattr(batch.payload, "_data", b"")))


@given(st.lists(batches, min_size=1, max_size=5))
def test_joined_batches_are_those_that_would_have_come_one_by_one(
    messages: list[pb.Batch],
) -> None:
    each = [pb.SubscribeResponse(batch=message).SerializeToString() for message in messages]
    joined = pb.SubscribeResponse(batches=pb.Batches(batch=messages)).SerializeToString()
    got = [event for event in received(joined) if isinstance(event, Batch)]
    alone = [event for data in each for event in received(data) if isinstance(event, Batch)]
    assert [all_of(batch) for batch in got] == [all_of(batch) for batch in alone]
    assert joined.endswith(b"".join(each)), "the service joins them as bytes"


@given(st.lists(batches, min_size=1, max_size=3), st.binary(max_size=8), st.data())
def test_joined_batches_of_any_other_form_are_left_to_the_parser(
    messages: list[pb.Batch], extra: bytes, data: st.DataObject
) -> None:
    joined = pb.SubscribeResponse(batches=pb.Batches(batch=messages)).SerializeToString()
    at = data.draw(st.integers(0, len(joined)))
    changed = joined[:at] + extra + joined[at:]
    try:
        expected = pb.SubscribeResponse.FromString(changed)
    except Exception:
        with pytest.raises(ServiceFault):
            list(received(changed))
        return
    if expected.WhichOneof("event") == "batches":
        got = [event for event in received(changed) if isinstance(event, Batch)]
        assert [described(batch) for batch in got] == [
            (
                message.topic,
                message.partition,
                message.incarnation,
                message.base_offset,
                message.next_position,
                message.record_count,
            )
            for message in expected.batches.batch
        ]


@pytest.mark.parametrize("newer_field", [b"", b"\xf8\x07\x01"])
def test_batches_that_are_handed_over_are_so_alone_and_joined(newer_field: bytes) -> None:
    handed_over = pb.SharedMemory(block=7, length=900)
    message = pb.Batch(topic="orders", next_position=9, record_count=9, shared=handed_over)
    alone = pb.SubscribeResponse(batch=message).SerializeToString()
    joined = pb.SubscribeResponse(batches=pb.Batches(batch=[message] * 2)).SerializeToString()
    for data, count in ((alone, 1), (joined, 2)):
        found = list(received(data + newer_field))
        assert [(each.block, each.length) for each in found if isinstance(each, Lent)] == [
            (7, 900)
        ] * count
        assert len(found) == count


def test_every_other_event_is_a_value() -> None:
    orders = pb.Position(topic="orders", partition=1, incarnation=2, offset=42)
    shared_orders = pb.Position(topic="orders", partition=1, incarnation=2, offset=42, epoch=7)
    position = Position("orders", 1, 42, 2)
    quiet = pb.PartitionProgress(
        topic="orders", partition=1, incarnation=2, position=42, log_end_offset=43
    )
    blocked = pb.PartitionProgress(
        source_high_watermark=0, mining_state=pb.BLOCKED, mining_error="no object"
    )
    gap = pb.Gap(
        topic="orders",
        partition=1,
        incarnation=2,
        begin_offset=3,
        end_offset=9,
        cause=pb.CACHE_RETENTION,
    )
    cases: list[tuple[pb.SubscribeResponse, object]] = [
        (
            pb.SubscribeResponse(
                started=pb.Started(epoch=3, positions=[orders], end=[orders], connection="main")
            ),
            Started(3, Positions([position]), Positions([position]), "main"),
        ),
        (pb.SubscribeResponse(caught_up=pb.CaughtUp(topic="orders")), CaughtUp("orders")),
        (pb.SubscribeResponse(fell_behind=pb.FellBehind(topic="orders")), FellBehind("orders")),
        (
            pb.SubscribeResponse(progress=pb.Progress(partitions=[quiet, blocked])),
            Progress(
                (
                    PartitionProgress(position, 43, None, MiningState.UNSPECIFIED, ""),
                    PartitionProgress(
                        Position("", 0, 0, 0), 0, 0, MiningState.BLOCKED, "no object"
                    ),
                )
            ),
        ),
        (
            pb.SubscribeResponse(gap=gap),
            Gap("orders", 1, 2, 3, 9, GapCause.CACHE_RETENTION),
        ),
        (
            pb.SubscribeResponse(partition_added=pb.PartitionAdded(start=orders)),
            PartitionAdded(position),
        ),
        (
            pb.SubscribeResponse(
                partitions_assigned=pb.PartitionsAssigned(
                    positions=[shared_orders],
                    snapshots=[pb.SnapshotStart(topic="orders", partition=1, end_offset=9)],
                )
            ),
            PartitionsAssigned(
                Positions([position]),
                {("orders", 1): 7},
                (SnapshotStart("orders", 1, 0, 0, 9, 0, 0, 0, resumed=False),),
            ),
        ),
        (
            pb.SubscribeResponse(
                partitions_revoked=pb.PartitionsRevoked(positions=[shared_orders])
            ),
            PartitionsRevoked(Positions([position])),
        ),
        (
            pb.SubscribeResponse(ended=pb.Ended(positions=[orders])),
            Ended(Positions([position])),
        ),
    ]
    for message, expected in cases:
        assert list(received(message.SerializeToString())) == [expected]
    assert {message.WhichOneof("event") for message, _ in cases} | {"batch", "batches"} == {
        each.name for each in pb.SubscribeResponse.DESCRIPTOR.oneofs_by_name["event"].fields
    }


def test_what_a_newer_service_tells_is_passed_over() -> None:
    assert list(received(b"")) == []
    assert list(received(bytes([99 << 3 & 0x7F | 0x82, 6, 0]))) == []
    assert MiningState(77) is MiningState.UNSPECIFIED
    assert GapCause(77) is GapCause.UNSPECIFIED
