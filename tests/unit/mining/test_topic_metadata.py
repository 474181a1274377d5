import uuid
from io import BytesIO
from typing import Any

import pytest

from cachesvc.mining.kafka.topic_metadata import (
    TopicMetadata,
    TopicMetadataRequest,
    parse_metadata,
)

KAFKA_2_0 = {3: (0, 6)}
KAFKA_2_3 = {3: (0, 8)}
KAFKA_4 = {3: (0, 13)}
TOPIC_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


def answer(versions: dict[int, tuple[int, int]], topics: list[Any]) -> Any:
    """What a broker answers, over the wire and back."""
    request = TopicMetadataRequest(None).prepare(versions)
    kind: Any = request.RESPONSE_TYPE
    if kind.API_VERSION >= 10:
        response = kind(0, [(1, "host", 9092, None, {})], "cluster", 1, topics, 0, {})
    else:
        response = kind(0, [(1, "host", 9092, None)], "cluster", 1, topics)
    return kind.decode(BytesIO(response.encode()))


def with_ids(error_code: int, name: str, topic_id: uuid.UUID) -> tuple[Any, ...]:
    partitions: list[tuple[Any, ...]] = [
        (0, 0, 1, 5, [1], [1], [], {}),
        (5, 1, -1, 5, [1], [], [1], {}),
    ]
    return (error_code, name, topic_id, False, partitions, 0, {})


def test_brokers_with_ids() -> None:
    found = parse_metadata(answer(KAFKA_4, [with_ids(0, "orders", TOPIC_ID)]))

    assert found.brokers == {1: ("host", 9092)}
    expected = TopicMetadata(
        0, str(TOPIC_ID), False, {0: 1, 1: -1}, {0: 5, 1: 5}, {0: 1, 1: 1}, {0: 1, 1: 0}
    )
    assert found.topics == {"orders": expected}


def test_brokers_without_ids() -> None:
    topics: list[tuple[Any, ...]] = [
        (0, "orders", True, [(0, 0, 1, 7, [1, 2], [1], []), (0, 1, 1, -1, [1], [1], [])]),
        (3, "gone", False, []),
    ]

    found = parse_metadata(answer(KAFKA_2_3, topics))

    assert found.brokers == {1: ("host", 9092)}
    assert found.topics == {
        "orders": TopicMetadata(0, "", True, {0: 1, 1: 1}, {0: 7}, {0: 2, 1: 1}, {0: 1, 1: 1}),
        "gone": TopicMetadata(3, "", False, {}),
    }


def test_brokers_without_leader_epochs() -> None:
    found = parse_metadata(answer(KAFKA_2_0, [(0, "orders", True, [(0, 0, 1, [1], [1], [])])]))

    assert found.topics == {"orders": TopicMetadata(0, "", True, {0: 1}, {}, {0: 1}, {0: 1})}


def test_a_topic_that_does_not_exist_has_no_id() -> None:
    found = parse_metadata(answer(KAFKA_4, [(3, "gone", uuid.UUID(int=0), False, [], 0, {})]))

    assert found.topics["gone"] == TopicMetadata(3, "", False, {})


@pytest.mark.parametrize(("versions", "spoken"), [(KAFKA_2_0, 5), (KAFKA_2_3, 7), (KAFKA_4, 10)])
def test_never_asks_to_create_a_topic(versions: Any, spoken: int) -> None:
    for topics in (None, [], ["orders"]):
        request = TopicMetadataRequest(topics).prepare(versions)

        version = request.API_VERSION
        assert version == spoken
        assert request.get_item("allow_auto_topic_creation") is False


def test_all_topics_and_none_are_different_questions() -> None:
    every = TopicMetadataRequest(None).prepare(KAFKA_4)
    none = TopicMetadataRequest([]).prepare(KAFKA_4)

    assert (every.get_item("topics"), none.get_item("topics")) == (None, [])
    assert every.encode()[:1] == b"\x00"
    assert none.encode()[:1] == b"\x01"


def test_the_bytes_of_a_request_by_name() -> None:
    request = TopicMetadataRequest(["ab"]).prepare(KAFKA_4)

    # One topic: no id, the name, no tags; then three times no, and no tags.
    assert request.encode() == b"\x02" + bytes(16) + b"\x03ab\x00" + b"\x00\x00\x00" + b"\x00"


@pytest.mark.parametrize(("versions", "as_in"), [(KAFKA_2_3, 2.3), (KAFKA_4, 4)])
def test_the_same_about_many_topics_is_decoded_once(
    versions: dict[int, tuple[int, int]], as_in: float
) -> None:
    def topics(leader: int) -> list[tuple[Any, ...]]:
        tags: tuple[Any, ...] = ({},) if as_in == 4 else ()
        partitions = [(0, n, leader, 5, [1], [1], [], *tags) for n in range(100)]
        more: tuple[Any, ...] = (0, {}) if as_in == 4 else ()
        ids = (TOPIC_ID,) if as_in == 4 else ()
        return [(0, f"topic-{n}", *ids, False, partitions, *more) for n in range(100)]

    first, again = (parse_metadata(answer(versions, topics(1))) for _ in range(2))
    assert first is again
    moved = parse_metadata(answer(versions, topics(2)))
    assert moved.topics["topic-7"].leaders[9] == 2
    assert first.topics["topic-7"].leaders[9] == 1
