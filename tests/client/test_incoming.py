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
    Position,
    Positions,
    Progress,
    ServiceFault,
    Started,
)
from cachesvc.client.incoming import event
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
    batch = event(pb.SubscribeResponse(batch=message).SerializeToString())
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
            event(changed)
        return
    got = event(changed)
    if isinstance(got, Batch):
        assert expected.WhichOneof("event") == "batch"
        assert described(got)[3:] == (
            expected.batch.base_offset,
            expected.batch.next_position,
            expected.batch.record_count,
        )
        assert got.topic == expected.batch.topic


def test_every_other_event_is_a_value() -> None:
    orders = pb.Position(topic="orders", partition=1, incarnation=2, offset=42)
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
            pb.SubscribeResponse(ended=pb.Ended(positions=[orders])),
            Ended(Positions([position])),
        ),
    ]
    for message, expected in cases:
        assert event(message.SerializeToString()) == expected
    assert {message.WhichOneof("event") for message, _ in cases} | {"batch"} == {
        each.name for each in pb.SubscribeResponse.DESCRIPTOR.oneofs_by_name["event"].fields
    }


def test_what_a_newer_service_tells_is_passed_over() -> None:
    assert event(b"") is None
    assert event(bytes([99 << 3 & 0x7F | 0x82, 6, 0])) is None
    assert MiningState(77) is MiningState.UNSPECIFIED
    assert GapCause(77) is GapCause.UNSPECIFIED
