"""The bytes of fetches, for brokers of several versions."""

from __future__ import annotations

from typing import Any

from cachesvc.mining.kafka.fetch_request import SessionFetchRequest
from cachesvc.mining.kafka.fetch_session import Asked, Naming
from cachesvc.mining.source import SourcePartition

KAFKA_1_0 = {1: (0, 6)}
KAFKA_2_0 = {1: (0, 8)}
KAFKA_2_3 = {1: (0, 11)}
KAFKA_4 = {1: (4, 18)}
NAMED = [
    (SourcePartition("a", 0), Asked(7, 5, 10, 1)),
    (SourcePartition("b", 2), Asked(9, -1, 30, 1)),
    (SourcePartition("a", 1), Asked(8, 6, 20, 1)),
]
FORGOTTEN = [SourcePartition("b", 0), SourcePartition("c", 1), SourcePartition("b", 1)]


def prepared(naming: Naming, versions: dict[int, tuple[int, int]]) -> Any:
    return SessionFetchRequest(naming, 500, 1_000, 1).prepare(versions)


def test_a_fetch_names_the_session_and_the_epochs_of_leaders() -> None:
    for versions in (KAFKA_2_3, KAFKA_4):
        request = prepared(Naming(77, 3, NAMED, FORGOTTEN), versions)

        assert request.API_VERSION == 11
        assert (request.session_id, request.session_epoch) == (77, 3)
        assert request.topics == [
            ("a", [(0, 5, 7, -1, 10), (1, 6, 8, -1, 20)]),
            ("b", [(2, -1, 9, -1, 30)]),
        ]
        assert request.forgotten_topics_data == [("b", [0, 1]), ("c", [1])]
        assert (request.max_wait_time, request.min_bytes, request.max_bytes) == (500, 1, 1_000)
        assert request.isolation_level == 1


def test_a_quiet_fetch_names_nothing_and_is_small() -> None:
    quiet = prepared(Naming(77, 3, (), ()), KAFKA_4)
    assert (quiet.topics, quiet.forgotten_topics_data) == ([], [])
    assert len(quiet.encode()) < 50


def test_brokers_that_know_no_epochs_get_the_rest() -> None:
    request = prepared(Naming(77, 3, NAMED[:1], FORGOTTEN), KAFKA_2_0)
    assert request.topics == [("a", [(0, 7, -1, 10)])]
    assert request.session_epoch == 3


def test_brokers_that_know_no_sessions_get_the_rest() -> None:
    request = prepared(Naming(0, 0, NAMED[:1], ()), KAFKA_1_0)
    assert request.topics == [("a", [(0, 7, -1, 10)])]
    assert "session_id" not in vars(request)
