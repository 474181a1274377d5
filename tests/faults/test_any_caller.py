"""Whoever calls with whatever, where access control is on: nothing changes that is not theirs."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import hypothesis.strategies as st
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from joserfc import jwt
from joserfc.jwk import OctKey

from cachesvc.access.tokens import digest_of
from cachesvc.v1 import (
    access_pb2,
    admin_pb2,
    audit_pb2,
    connections_pb2,
    mining_pb2,
    mining_tasks_pb2,
    stores_pb2,
)
from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.stage import CALL_S, Calls, error_info, objects
from tests.support.any_requests import CODES, DOCUMENTED, METHODS, messages, names
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.jwts import AUDIENCE, ISSUER, JwtSigner
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(240)]

OPEN, VAULT = "any-caller", "any-caller-vault"
NAMES = names(OPEN, VAULT, "default", "vault", "mine-1", "task")
LIKELY = {
    "topic": [OPEN, VAULT],
    "topics": [OPEN, VAULT],
    "connection": ["default"],
    "subscription": ["vault", "mine-1"],
    "subscriptions": ["vault"],
    "principal": ["task", "ops"],
    "roles": ["reader", "admin"],
    "rights": ["read", "admin"],
    "bootstrap_servers": [f"{HOST}:1"],
}
_VERBS = ("Run", "Pause", "Resume", "Set", "Delete")
_KINDS = {"Job": ["seal"], "Role": ["task", "nothing"], "Principal": ["task", "nothing"]}
NAMED = {f"{verb}{kind}": names for kind, names in _KINDS.items() for verb in _VERBS}
"""What ``name`` may be, of those that are not of a connection."""
MANY = 1_000_000
HEADER = "authorization"
EXAMPLES = 120
STREAMS = 40
# Streams that are answered may go on for ever.
ANSWER_S = 0.1
GRANTS: Mapping[str, Mapping[str, Any]] = {
    "nothing": {"rights": ["commit"], "subscriptions": ["none"]},
    "reader": {"rights": ["read"], "topics": [OPEN]},
    "task": {
        "rights": ["read", "commit", "subscriptions"],
        "topics": [OPEN],
        "subscriptions": ["mine-*"],
    },
}
WHO = (None, "nothing", "reader", "task", "reader")
_PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80)
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True)
class Stage:
    service: GuardedService
    signer: JwtSigner
    calls: Calls
    tokens: Mapping[str, str]

    def as_ops(self, request: Any) -> Any:
        """The answer to a call of Admin, or to one of LogCache."""
        name = type(request).__name__.removesuffix("Request")
        stub = self.calls.admin if hasattr(self.calls.admin, name) else self.calls.log_cache
        return getattr(stub, name)(request, timeout=CALL_S, metadata=shown(OF_FILE))


def shown(token: str) -> Metadata:
    return ((HEADER, f"Bearer {token}"),)


@pytest.fixture(scope="module")
def stage(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    for topic in (OPEN, VAULT):
        create_topic(kafka.bootstrap, topic, 1)
        produce(kafka.bootstrap, topic, objects(0, 100))
    path = tmp_path_factory.mktemp("caller")
    signer = JwtSigner(path / "keys.json")
    keys = {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": str(signer.keys_file)}
    wanted: dict[str, dict[str, Any]] = {
        "access": {"enabled": True, "jwt": {**keys, "roles_claim": "groups"}},
        "callers": {"unknown_per_s_max": MANY, "calls_per_s_max": MANY},
    }
    with GuardedService(path, kafka.bootstrap, wanted) as service, Calls(service.address) as calls:
        tokens = {name: service.make_token(name, grant) for name, grant in GRANTS.items()}
        stage = Stage(service, signer, calls, tokens)
        vault = pb.SubscribeRequest(subscription="vault", topics=[VAULT], mode=pb.FULL)
        assert list(stage.as_ops(vault))
        yield stage
        assert service.running
        assert not service.events("internal")
        log = service.log_path.read_text()
        assert not [token for token in (OF_FILE, *tokens.values()) if token in log]


def state(stage: Stage) -> dict[str, Any]:
    """What somebody might have changed; without what belongs to the task."""
    subscriptions = stage.as_ops(pb.ListSubscriptionsRequest()).subscriptions
    tokens = stage.as_ops(access_pb2.ListTokensRequest()).tokens
    for token in tokens:
        token.ClearField("last_used_ms")
    mined = stage.as_ops(mining_tasks_pb2.ListMiningTasksRequest()).tasks
    return {
        "subscriptions": [
            (each.name, each.topics[:], each.mode, each.epoch, each.committed_ms)
            for each in subscriptions
            if not each.name.startswith("mine-")
        ],
        "connections": [
            (each.name, each.bootstrap_servers[:], each.topic_expression, each.updated_ms)
            for each in stage.as_ops(connections_pb2.ListConnectionsRequest()).connections
        ],
        "mining": [(each.name, str(each.pins), each.retention_days) for each in mined],
        "jobs": [
            (each.name, each.paused) for each in stage.as_ops(admin_pb2.ListJobsRequest()).jobs
        ],
        "topics": [
            (each.name, each.incarnation)
            for each in stage.as_ops(admin_pb2.ListTopicsRequest()).topics
        ],
        "tokens": list(map(str, tokens)),
        "config": str(stage.as_ops(admin_pb2.GetConfigRequest())),
        "stores": [
            (each.name, each.kind, each.default, each.path, each.connections[:])
            for each in stage.as_ops(stores_pb2.ListStoresRequest()).stores
        ],
        "roles": str(stage.as_ops(access_pb2.ListRolesRequest())),
        "principals": str(stage.as_ops(access_pb2.ListPrincipalsRequest())),
    }


def junk(signer: JwtSigner) -> st.SearchStrategy[Metadata]:
    """What strangers may show; nothing of it is anything."""
    other = JwtSigner(signer.keys_file.with_name("other.json"))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ops", "exp": int(time.time()) + 3_600}
    as_text = (
        json.dumps(each).encode() for each in ({"alg": "none"}, {**claims, "groups": "admin"})
    )
    unsigned = ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in as_text)
    secret = OctKey.import_key(signer.keys_file.read_bytes())
    tokens = [
        *("", "x", ".", "..", "a.b.c", "x" * 7_000, OF_FILE[:-1], f"{OF_FILE}x", OF_FILE.upper()),
        *(digest_of(OF_FILE), OF_FILE.rpartition("_")[2], f"{unsigned}.", f"{unsigned}.AAAA"),
        *(other.signed("ops"), signer.signed("ops", exp=1), signer.signed("ops", aud="x")),
        *(signer.signed("nobody"), signer.signed("")),
        jwt.encode({"alg": "HS256", "kid": "tests"}, claims, secret, algorithms=["HS256"]),
    ]
    headers = st.sampled_from([f"Bearer {each}" for each in tokens])
    headers |= st.sampled_from(["", OF_FILE, "Bearer", f"Basic {OF_FILE}", f"Bearer{OF_FILE}"])
    headers |= _PRINTABLE | _PRINTABLE.map("Bearer {}".format)
    one: st.SearchStrategy[tuple[str, str | bytes]] = headers.map(lambda text: (HEADER, text))
    one |= st.binary(max_size=40).map(lambda data: ("authorization-bin", data))
    one |= _PRINTABLE.map(lambda text: ("x-principal", text))
    return st.lists(one, max_size=3).map(tuple)


def requests(method: MethodDescriptor) -> st.SearchStrategy[bytes]:
    likely = {**LIKELY, "name": NAMED.get(method.name, ["default", "mine-1"])}
    whole = messages(method.input_type, NAMES, likely).map(lambda each: each.SerializeToString())
    return whole | whole | st.tuples(whole, st.binary(max_size=3), st.integers(0, 60)).map(_changed)


def _changed(parts: tuple[bytes, bytes, int]) -> bytes:
    data, put, at = parts
    return data[:at] + put + data[at + len(put) :]


def ask(stage: Stage, method: MethodDescriptor, request: bytes, metadata: Metadata) -> Any:
    """The error that a call ends with; None for one that is answered, or goes on."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    decode: Callable[[bytes], Message] = GetMessageClass(method.output_type).FromString
    channel = stage.calls.channel
    try:
        if method.server_streaming:
            stream: Any = channel.unary_stream(path, response_deserializer=decode)
            for _ in stream(request, timeout=ANSWER_S, metadata=metadata):
                pass
        else:
            unary: Any = channel.unary_unary(path, response_deserializer=decode)
            unary(request, timeout=30, metadata=metadata)
    except grpc.RpcError as error:
        late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return None if late and method.server_streaming else error
    return None


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.name))
def test_no_request_of_anybody_changes_what_is_not_theirs(
    stage: Stage, method: MethodDescriptor
) -> None:
    before = state(stage)

    @settings(
        max_examples=STREAMS if method.server_streaming else EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(method), st.sampled_from(WHO), junk(stage.signer))
    def call(request: bytes, who: str | None, stranger: Metadata) -> None:
        metadata = stranger if who is None else shown(stage.tokens[who])
        error = ask(stage, method, request, metadata)
        if who is None:
            # Streams that take long to be refused have not been answered either.
            refused = error is None or error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert refused and (error is not None or method.server_streaming), error
        if error is not None:
            allowed = {*CODES, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
            assert error.code() in allowed, (error.code(), error.details())
            reason, _ = error_info(error)
            assert reason in DOCUMENTED
            assert who is None or reason != "UNAUTHENTICATED"

    call()
    assert stage.service.running
    assert state(stage) == before
    for who in ("anonymous", "nothing", "reader"):
        audit = stage.as_ops(audit_pb2.ListAuditRequest(principal=who)).entries
        assert not [each for each in audit if each.outcome == "OK"]


def test_nobody_appends_or_joins(stage: Stage) -> None:
    for token in (None, *stage.tokens.values(), OF_FILE):
        metadata = shown(token) if token else ()
        for begin, request in (
            (stage.calls.mining.Join, mining_pb2.JoinRequest(connection="default")),
            (stage.calls.mining.Append, mining_pb2.AppendRequest(topic=VAULT)),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                list(begin(iter([request]), timeout=30, metadata=metadata))
            expected = (
                {"UNAUTHENTICATED"} if token is None else {"NOT_ALLOWED", "MINING_LOCAL_ONLY"}
            )
            assert error_info(refused.value)[0] in expected
