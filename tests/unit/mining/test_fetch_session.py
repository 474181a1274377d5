"""What a fetch session says, step by step."""

import pytest

from cachesvc.mining.kafka.fetch_session import (
    INVALID_SESSION_EPOCH,
    SESSION_ID_NOT_FOUND,
    Asked,
    FetchSession,
)
from cachesvc.mining.source import SourcePartition

A, B, C = (SourcePartition("orders", number) for number in range(3))


def at(offset: int, generation: int = 1) -> Asked:
    return Asked(offset, 0, 1_000, generation)


def begun(*partitions: SourcePartition) -> FetchSession:
    """A session with id 7 that names these partitions, at offset 0."""
    session = FetchSession()
    for partition in partitions:
        session.want(partition, at(0))
    session.request()
    session.answered(7)
    return session


def test_the_first_fetch_names_everything_and_asks_for_a_session() -> None:
    session = FetchSession()
    session.want(A, at(3))
    session.want(B, at(0))

    naming = session.request()

    assert (naming.session_id, naming.session_epoch, naming.full) == (0, 0, True)
    assert list(naming.named) == [(A, at(3)), (B, at(0))]
    assert not naming.forgotten


def test_a_quiet_fetch_names_nothing() -> None:
    session = begun(A, B)
    for epoch in (1, 2, 3):
        naming = session.request()
        assert (naming.session_id, naming.session_epoch) == (7, epoch)
        assert not naming.named
        assert not naming.forgotten
        session.answered(7)
    assert session.asked(A) == at(0)


def test_only_what_has_changed_is_named() -> None:
    session = begun(A, B)
    session.want(A, at(5))
    session.want(B, at(0))
    session.want(C, at(9))

    naming = session.request()

    assert list(naming.named) == [(A, at(5)), (C, at(9))]
    assert session.asked(A) == at(5)


def test_what_is_not_wanted_any_more_is_forgotten_once() -> None:
    session = begun(A, B)
    session.drop(A)
    session.drop(A)
    naming = session.request()
    assert (list(naming.named), list(naming.forgotten)) == ([], [A])
    assert session.asked(A) is None
    session.answered(7)
    assert not session.request().forgotten


def test_what_comes_and_goes_between_two_fetches_is_not_mentioned() -> None:
    session = begun(A)
    session.want(B, at(0))
    session.drop(B)
    session.drop(A)
    session.want(A, at(0))

    naming = session.request()

    assert (list(naming.named), list(naming.forgotten)) == ([], [])


def test_another_stay_of_a_partition_is_named_anew_and_not_forgotten() -> None:
    session = begun(A)
    session.drop(A)
    session.want(A, at(0, generation=2))

    naming = session.request()

    # A broker would forget what is both named and forgotten.
    assert (list(naming.named), list(naming.forgotten)) == ([(A, at(0, generation=2))], [])


def test_whoever_is_wanted_again_comes_last() -> None:
    session = begun(A, B, C)
    session.drop(A)
    session.want(A, at(4))
    session.want(B, at(2))  # as where a record batch did not fit: it keeps its place
    session.lost()

    assert [partition for partition, _ in session.request().named] == [B, C, A]


@pytest.mark.parametrize(
    ("error_code", "session_id"), [(0, 7), (SESSION_ID_NOT_FOUND, 0), (INVALID_SESSION_EPOCH, 7)]
)
def test_a_session_that_is_lost_begins_again_with_everything(
    error_code: int, session_id: int
) -> None:
    session = begun(A, B)
    session.want(A, at(5))
    session.request()
    session.want(C, at(1))
    session.lost(error_code)

    naming = session.request()

    assert (naming.session_id, naming.session_epoch) == (session_id, 0)
    assert list(naming.named) == [(A, at(5)), (B, at(0)), (C, at(1))]
    session.answered(8)
    assert (session.request().session_id, session.request().session_epoch) == (8, 1)


def test_a_broker_without_sessions_is_told_everything_every_time() -> None:
    session = begun(A)
    session.request()
    session.answered(0)
    for _ in range(3):
        naming = session.request()
        assert (naming.session_id, naming.session_epoch) == (0, 0)
        assert list(naming.named) == [(A, at(0))]
        session.answered(0)


def test_epochs_begin_again_behind_the_highest() -> None:
    session = begun(A)
    session._epoch = (1 << 31) - 1
    session.request()
    session.answered(7)

    assert session.request().session_epoch == 1
