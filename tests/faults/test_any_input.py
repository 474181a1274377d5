"""G14: every public call answers any input with a documented status and reason."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings

from cachesvc.v1 import mining_pb2
from tests.faults.stage import Calls, error_info, objects, refusal
from tests.support.any_requests import CODES, DOCUMENTED, METHODS, messages, names
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(240)]

TOPIC = "any-input"
NAMES = names(TOPIC, "default", "s", "compact")
EXAMPLES = 25
# Streams that are answered may go on for ever.
ANSWER_S = 0.3


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
    @given(messages(method.input_type, NAMES))
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
