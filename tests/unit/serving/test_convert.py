"""What a SubscribeRequest may say, and for which reason it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.errors import InvalidRequest
from cachesvc.model import GapPolicy, Mode, PartitionId
from cachesvc.serving import convert
from cachesvc.serving.convert import NamedOffset, StartRequest, SubscribeCall, subscribe_call
from cachesvc.serving.forms import Form
from cachesvc.v1 import log_cache_pb2 as pb


def request(**changes: Any) -> pb.SubscribeRequest:
    """A plain request, and what is different."""
    usual: dict[str, Any] = {"subscription": "copies", "topics": ["orders"], "mode": pb.FULL}
    return pb.SubscribeRequest(**(usual | changes))


def position(
    topic: str = "orders", partition: int = 0, offset: int = 0, incarnation: int = 0
) -> pb.Position:
    return pb.Position(topic=topic, partition=partition, offset=offset, incarnation=incarnation)


def start_at(*positions: pb.Position) -> pb.Start:
    return pb.Start(positions=pb.Positions(positions=positions))


def test_what_is_left_out_has_a_default() -> None:
    assert subscribe_call(request()) == SubscribeCall(
        subscription="copies",
        connection="",
        topics=("orders",),
        topic_expression="",
        mode=Mode.FULL,
        start=StartRequest(),
        form=Form.ARROW_LZ4,
        batch_bytes_max=1 << 20,
        end={},
        gap_policy=GapPolicy.STOP_AT_GAP,
    )


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({}, 1 << 20),
        ({"message_bytes_max": 4 << 20}, 1 << 20),
        ({"message_bytes_max": 1 << 20}, (1 << 20) - 4096),
        ({"message_bytes_max": 100}, 0),
        ({"encoding": pb.RECORDS}, 0),
    ],
)
def test_files_of_row_groups_stay_below_the_bound_of_messages(
    asked: dict[str, Any], taken: int
) -> None:
    call = subscribe_call(request(parquet_bytes_max=1 << 20, **asked))
    assert call.parquet_bytes_max == taken


def test_takes_over_everything() -> None:
    call = subscribe_call(
        request(
            connection="main",
            topics=[],
            topic_expression="or.*",
            mode=pb.INCREMENTAL,
            encoding=pb.RECORDS,
            batch_bytes_max=64 << 10,
            gap_policy=pb.GO_ON_BEHIND_GAP,
            start=start_at(position(offset=7), position("items", 2, 2**63 - 1, 1)),
            end=pb.Positions(positions=[position(offset=9)]),
        )
    )
    assert (call.connection, call.topics, call.topic_expression) == ("main", (), "or.*")
    assert (call.mode, call.form) == (Mode.INCREMENTAL, Form.RECORDS)
    assert call.batch_bytes_max == 64 << 10
    assert call.start == StartRequest(
        positions={("orders", 0): NamedOffset(7), ("items", 2): NamedOffset(2**63 - 1, 1)}
    )
    assert call.end == {("orders", 0): NamedOffset(9)}
    assert call.gap_policy is GapPolicy.GO_ON_BEHIND_GAP


@pytest.mark.parametrize(
    ("encoding", "compression", "form"),
    [
        (pb.ARROW_IPC, pb.ARROW_COMPRESSION_ZSTD, Form.ARROW_ZSTD),
        (pb.ENCODING_UNSPECIFIED, pb.ARROW_COMPRESSION_NONE, Form.ARROW_NONE),
        (pb.ARROW_IPC, pb.ARROW_COMPRESSION_UNSPECIFIED, Form.ARROW_LZ4),
        (pb.ARROW_IPC, pb.ARROW_COMPRESSION_LZ4, Form.ARROW_LZ4),
        (pb.RECORDS, pb.ARROW_COMPRESSION_ZSTD, Form.RECORDS),
    ],
)
def test_encoding_and_compression_are_one_form(
    encoding: pb.Encoding, compression: pb.ArrowCompression, form: Form
) -> None:
    call = subscribe_call(request(encoding=encoding, arrow_compression=compression))
    assert call.form is form


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (pb.Start(), StartRequest()),
        (pb.Start(earliest=pb.Earliest()), StartRequest(earliest=True)),
        (pb.Start(latest=pb.Latest()), StartRequest(latest=True)),
        (pb.Start(timestamp_ms=0), StartRequest(timestamp_ms=0)),
        (pb.Start(timestamp_ms=2**63 - 1), StartRequest(timestamp_ms=2**63 - 1)),
        (start_at(), StartRequest(positions={})),
    ],
    ids=["none", "earliest", "latest", "1970", "far", "no positions"],
)
def test_a_start_is_one_of_four(start: pb.Start, found: StartRequest) -> None:
    assert subscribe_call(request(start=start)).start == found


def test_topics_named_twice_count_once_in_their_order() -> None:
    assert subscribe_call(request(topics=["b", "a", "b"])).topics == ("b", "a")


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"subscription": ""}, "INVALID_SUBSCRIPTION_NAME", "subscription name"),
    "wrong name": ({"subscription": "a b"}, "INVALID_SUBSCRIPTION_NAME", "'a b'"),
    "long name": ({"subscription": "a" * 250}, "INVALID_SUBSCRIPTION_NAME", "1 to 249"),
    "no topics": ({"topics": []}, "TOPICS_REQUIRED", "topics or topic_expression"),
    "both": ({"topic_expression": "o.*"}, "TOPICS_REQUIRED", "not both"),
    "topic": ({"topics": ["orders", "a/b"]}, "INVALID_TOPIC_NAME", "'a/b'"),
    "dots": ({"topics": [".."]}, "INVALID_TOPIC_NAME", "neither '.' nor '..'"),
    "empty topic": ({"topics": [""]}, "INVALID_TOPIC_NAME", "''"),
    "too many": (
        {"topics": [f"t{number}" for number in range(10_001)]},
        "INVALID_ARGUMENT",
        "at most 10000, got 10001",
    ),
    "expression": (
        {"topics": [], "topic_expression": "a("},
        "INVALID_TOPIC_EXPRESSION",
        "topic expression 'a\\('",
    ),
    "long expression": (
        {"topics": [], "topic_expression": "a" * 257},
        "INVALID_TOPIC_EXPRESSION",
        "1 to 256 characters",
    ),
    "no mode": ({"mode": pb.MODE_UNSPECIFIED}, "MODE_REQUIRED", "INCREMENTAL, FULL"),
    "mode": ({"mode": 99}, "MODE_REQUIRED", "mode"),
    "encoding": ({"encoding": 99}, "UNKNOWN_ENCODING", "encoding: 99"),
    "compression": ({"arrow_compression": 4}, "UNKNOWN_ARROW_COMPRESSION", "LZ4, ZSTD or NONE"),
    "small batch": ({"batch_bytes_max": 65_535}, "INVALID_ARGUMENT", "65536 to 16777216"),
    "large batch": ({"batch_bytes_max": (16 << 20) + 1}, "INVALID_ARGUMENT", "batch_bytes_max"),
    "large file": ({"parquet_bytes_max": (16 << 20) + 1}, "INVALID_ARGUMENT", "0 to 16777216"),
    "negative file": ({"parquet_bytes_max": -1}, "INVALID_ARGUMENT", "parquet_bytes_max: -1"),
    "negative batch": ({"batch_bytes_max": -1}, "INVALID_ARGUMENT", "batch_bytes_max: -1"),
    "time": ({"start": pb.Start(timestamp_ms=-1)}, "INVALID_ARGUMENT", "start.timestamp_ms"),
    "offset": ({"start": start_at(position(offset=-1))}, "INVALID_POSITION", "start.positions"),
    "partition": ({"start": start_at(position(partition=-1))}, "INVALID_POSITION", "orders/-1"),
    "topic of position": ({"start": start_at(position(""))}, "INVALID_TOPIC_NAME", "''"),
    "twice": (
        {"start": start_at(position(offset=1), position(offset=2))},
        "INVALID_POSITION",
        "orders/0 is named twice",
    ),
    "other incarnation": (
        {"start": start_at(position(incarnation=-1))},
        "UNKNOWN_INCARNATION",
        "no incarnation -1",
    ),
    "gap policy": ({"gap_policy": 9}, "UNKNOWN_GAP_POLICY", "gap_policy: 9"),
    "end": (
        {"end": pb.Positions(positions=[position(offset=-5)])},
        "INVALID_POSITION",
        "end: orders/0",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refuses_with_a_reason_and_names_the_field(name: str) -> None:
    changes, reason, message = REFUSALS[name]
    with pytest.raises(InvalidRequest, match=message) as caught:
        subscribe_call(request(**changes))
    assert caught.value.reason == reason


def test_a_position_means_its_own_incarnation_or_the_present_one() -> None:
    def meant(incarnation: int) -> PartitionId:
        return convert.partition_id("main", ("orders", 2), NamedOffset(5, incarnation), 3)

    assert meant(0) == meant(3) == PartitionId("main", "orders", 3, 2)
    assert meant(1) == PartitionId("main", "orders", 1, 2)
    with pytest.raises(InvalidRequest, match="no incarnation 4; the present one is 3"):
        meant(4)


@pytest.mark.parametrize("size", [64 << 10, 16 << 20])
def test_takes_the_bounds_themselves(size: int) -> None:
    assert subscribe_call(request(batch_bytes_max=size)).batch_bytes_max == size


def test_a_time_is_never_negative() -> None:
    assert convert.timestamp("timestamp_ms", 0) == 0
    with pytest.raises(InvalidRequest, match="timestamp_ms: milliseconds since 1970, not -1"):
        convert.timestamp("timestamp_ms", -1)


int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
names = st.sampled_from(["", "orders", "a b", "..", "x" * 250]) | st.text(max_size=10)
positions = st.builds(
    pb.Position,
    topic=names,
    partition=int32s | st.integers(-1, 2),
    incarnation=int32s | st.integers(0, 2),
    offset=int64s | st.integers(-1, 2),
)
lists = st.builds(pb.Positions, positions=st.lists(positions, max_size=3))
starts = st.one_of(
    st.builds(pb.Start),
    st.builds(pb.Start, earliest=st.just(pb.Earliest())),
    st.builds(pb.Start, latest=st.just(pb.Latest())),
    st.builds(pb.Start, timestamp_ms=int64s),
    st.builds(pb.Start, positions=lists),
)
requests = st.builds(
    pb.SubscribeRequest,
    subscription=names | st.just("copies"),
    connection=names,
    topics=st.lists(names, max_size=3),
    topic_expression=names | st.text("a|*+?()[]{}\\.,09^$", max_size=12) | st.just("a{1000}{1000}"),
    mode=st.integers(0, 3) | int32s,
    start=st.none() | starts,
    encoding=st.integers(0, 2) | int32s,
    batch_bytes_max=st.just(0) | int32s,
    end=st.none() | lists,
)


def only_refuses(check: Callable[[], SubscribeCall]) -> None:
    try:
        call = check()
    except InvalidRequest:
        return
    assert convert.BATCH_BYTES_MIN <= call.batch_bytes_max <= convert.BATCH_BYTES_MAX
    assert bool(call.topics) != bool(call.topic_expression)
    assert isinstance(call.mode, Mode)
    assert isinstance(call.form, Form)


@settings(max_examples=500, deadline=None)
@given(requests)
def test_any_request_is_taken_or_refused(any_request: pb.SubscribeRequest) -> None:
    only_refuses(lambda: subscribe_call(any_request))


@settings(max_examples=500, deadline=None)
@given(requests, st.data())
def test_any_bytes_that_are_a_request_are_taken_or_refused(
    any_request: pb.SubscribeRequest, data: st.DataObject
) -> None:
    encoded = bytearray(any_request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3)) if encoded else 0):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = pb.SubscribeRequest.FromString(bytes(encoded))
    except Exception:  # no message: gRPC refuses it before us
        return
    only_refuses(lambda: subscribe_call(parsed))
