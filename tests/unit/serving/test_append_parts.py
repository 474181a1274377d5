from collections.abc import Iterable
from typing import Any

import pytest

from cachesvc.serving.append_parts import AppendParts, WholeAppend, append_bytes_max
from cachesvc.v1 import mining_pb2 as pb


def parts(payload: bytes, rejects: bytes = b"", size: int = 10) -> list[pb.AppendRequest]:
    pieces = [(payload[at : at + size], b"") for at in range(0, len(payload), size)]
    pieces += [(b"", rejects[at : at + size]) for at in range(0, len(rejects), size)]
    sizes: dict[str, Any] = {"payload_bytes": len(payload), "rejects_bytes": len(rejects)}
    return [
        pb.AppendRequest(
            topic="a", payload=piece, rejects=turned, more=number < len(pieces), **sizes
        )
        for number, (piece, turned) in enumerate(pieces, start=1)
    ]


def take(requests: Iterable[pb.AppendRequest], bytes_max: int = 1_000) -> list[WholeAppend | None]:
    whole = AppendParts(bytes_max)
    return [whole.take(request) for request in requests]


def test_one_message_is_a_whole_append() -> None:
    (found,) = take([pb.AppendRequest(payload=b"abc", rejects=b"d")])
    assert found is not None
    assert (found.payload, found.rejects, found.refused) == (b"abc", b"d", None)


def test_parts_are_joined_in_their_order() -> None:
    payload, rejects = bytes(range(95)), bytes(range(100, 127))
    *before, found = take(parts(payload, rejects))
    assert before == [None] * 12
    assert found is not None
    assert found.refused is None
    assert (bytes(found.payload), bytes(found.rejects)) == (payload, rejects)


def test_what_is_too_large_is_refused_once_and_the_next_one_taken() -> None:
    single = pb.AppendRequest(payload=b"x" * 60)
    found = [
        each
        for each in take([*parts(b"y" * 70), single, *parts(b"z" * 50)], 50)
        if each is not None
    ]
    reasons = [each.refused.reason if each.refused else "" for each in found]
    assert reasons == ["TOO_LARGE", "TOO_LARGE", ""]
    assert bytes(found[-1].payload) == b"z" * 50


@pytest.mark.parametrize(
    "changes",
    [{"payload_bytes": 5}, {"payload_bytes": -1}, {"rejects_bytes": 7}, {"payload_bytes": 95}],
    ids=str,
)
def test_parts_that_are_not_what_they_say_are_refused(changes: dict[str, Any]) -> None:
    requests = parts(b"x" * 30)
    for request in requests:
        request.MergeFrom(pb.AppendRequest(**changes))
    *before, found = take([*requests, pb.AppendRequest(payload=b"ok")])
    (refused,) = [each for each in before if each is not None]
    assert refused.refused is not None
    assert refused.refused.reason == "INVALID_APPEND"
    assert found is not None
    assert found.payload == b"ok"


def test_the_limit_has_room_for_what_does_not_compress() -> None:
    assert append_bytes_max(128 << 20) > (128 << 20) * 1.004 + (8 << 20)
