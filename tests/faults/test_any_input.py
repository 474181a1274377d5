"""G14: every public call answers any input with a documented status and reason."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import hypothesis.strategies as st
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings

from cachesvc.v1 import admin_pb2, log_cache_pb2, mining_pb2
from tests.faults.stage import Calls, error_info, objects, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
TOPIC = "any-input"
CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNAVAILABLE,
}
SERVICES = [
    log_cache_pb2.DESCRIPTOR.services_by_name["LogCache"],
    admin_pb2.DESCRIPTOR.services_by_name["Admin"],
]
METHODS = [method for service in SERVICES for method in service.methods]
EXAMPLES = 25
# Streams that are answered may go on for ever.
ANSWER_S = 0.3

_NAMES = st.sampled_from(
    [
        "",
        TOPIC,
        "default",
        "s",
        "compact",
        "no-such",
        "..",
        "a/b",
        "x" * 300,
        "größer",
        "(",
        ".*",
        "\0",
    ]
)
_NUMBERS = st.sampled_from([0, 1, -1, 2, 99, 1 << 30, (1 << 31) - 1, -(1 << 31)])
_LARGE = st.sampled_from([0, 1, -1, 5, 1 << 40, (1 << 63) - 1, -(1 << 63)])


def _documented() -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE)) - {"INTERNAL"}


DOCUMENTED = _documented()


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    kinds: Mapping[int, st.SearchStrategy[Any]] = {
        FieldDescriptor.TYPE_STRING: _NAMES | st.text(max_size=20).filter(_encodable),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_INT64: _LARGE,
        FieldDescriptor.TYPE_INT32: _NUMBERS,
        FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
        FieldDescriptor.TYPE_ENUM: st.sampled_from([0, 1, 2, 3, 77, -1]),
        FieldDescriptor.TYPE_DOUBLE: st.floats(),
    }
    if field.message_type is not None:
        return _messages(field.message_type, depth + 1)
    return kinds[field.type]


def _encodable(text: str) -> bool:
    return text.isprintable()


@st.composite
def _messages(draw: st.DrawFn, of: Descriptor, depth: int = 0) -> Message:
    message: Message = GetMessageClass(of)()
    for field in of.fields:
        if depth > 3 or not draw(st.booleans()):
            continue
        values = _values(field, depth)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=3)))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(draw(values))
        else:
            setattr(message, field.name, draw(values))
    return message


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    create_topic(kafka.bootstrap, TOPIC, 1)
    produce(kafka.bootstrap, TOPIC, objects(0, 100))
    with ServiceProcess(tmp_path_factory.mktemp("any"), kafka.bootstrap) as running:
        yield running
        assert running.running
        assert not running.events("internal")


@pytest.fixture(scope="module")
def calls(service: ServiceProcess) -> Iterator[Calls]:
    with Calls(service.address) as opened:
        yield opened


def _ask(calls: Calls, method: MethodDescriptor, request: bytes) -> None:
    """Sends a request as bytes; an answer, or a documented refusal, is fine."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    decode: Callable[[bytes], Message] = GetMessageClass(method.output_type).FromString
    try:
        if method.server_streaming:
            stream: Any = calls.channel.unary_stream(path, response_deserializer=decode)
            for _ in stream(request, timeout=ANSWER_S):
                pass
        else:
            unary: Any = calls.channel.unary_unary(path, response_deserializer=decode)
            unary(request, timeout=30)
    except grpc.RpcError as error:
        _check(error, method)


def _check(error: grpc.RpcError, method: MethodDescriptor) -> None:
    if method.server_streaming and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return
    assert error.code() in CODES, (error.code(), error.details())
    reason, _ = error_info(error)
    assert reason in DOCUMENTED


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
def test_any_request_has_a_documented_answer(calls: Calls, method: MethodDescriptor) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_messages(method.input_type))
    def ask(request: Message) -> None:
        _ask(calls, method, request.SerializeToString())

    ask()


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f"], ids=["ones", "cut"]
)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
def test_bytes_that_are_no_message_are_refused(
    calls: Calls, method: MethodDescriptor, garbage: bytes
) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    channel: Any = calls.channel
    ask = channel.unary_stream if method.server_streaming else channel.unary_unary
    code, reason, _ = refusal(lambda: _all(ask(path)(garbage, timeout=30)))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


def _all(answer: object) -> object:
    return list(answer) if isinstance(answer, Iterator) else answer


def test_readers_are_refused_on_the_public_address(calls: Calls) -> None:
    for call, request in (
        (calls.mining.Join, mining_pb2.JoinRequest(connection="default", protocol_version=1)),
        (calls.mining.Append, mining_pb2.AppendRequest(topic=TOPIC)),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            list(call(iter([request]), timeout=30))
        assert error_info(refused.value)[0] == "MINING_LOCAL_ONLY"
