import pytest

from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH, EpochHistory, continues


@pytest.mark.parametrize(
    ("found_epoch", "end_offset", "expected"),
    [
        (4, 100, True),
        (4, 250, True),
        (4, 99, False),
        # It never knew the epoch: what it has there is of an earlier leader, however much it is.
        (3, 250, False),
        (UNKNOWN_EPOCH, -1, False),
    ],
)
def test_a_leader_continues_what_was_mined_of_an_epoch_that_it_has_up_to_there(
    found_epoch: int, end_offset: int, expected: bool
) -> None:
    assert continues(4, 100, found_epoch, end_offset) is expected


def test_the_epoch_of_what_was_mined_last() -> None:
    history = EpochHistory().then(0, 1).then(10, 1).then(20, 5).then(30, UNKNOWN_EPOCH)

    assert history.starts == ((0, 1), (20, 5), (30, UNKNOWN_EPOCH))
    assert [history.before(offset) for offset in (0, 1, 20, 21, 30, 31)] == [-1, 1, 1, 5, 5, -1]


def test_an_append_that_comes_again_replaces_what_did_not_come_about() -> None:
    history = EpochHistory().then(0, 1).then(10, 2).then(20, 3)

    assert history.then(10, 1).starts == ((0, 1),)
    assert history.then(20, 3) == history
    assert history.then(15, 3).starts == ((0, 1), (10, 2), (15, 3))


def test_the_highest_epoch_is_the_newest_known() -> None:
    assert EpochHistory().newest == UNKNOWN_EPOCH
    assert EpochHistory().then(0, 1).then(20, 5).then(30, UNKNOWN_EPOCH).newest == 5


def test_nothing_is_noted_of_a_source_without_epochs() -> None:
    assert EpochHistory().then(0, UNKNOWN_EPOCH) == EpochHistory()


def test_only_the_newest_epochs_are_kept() -> None:
    history = EpochHistory()
    for number in range(100):
        history = history.then(number, number)

    assert [epoch for _, epoch in history.starts] == list(range(84, 100))
    assert history.before(84) == UNKNOWN_EPOCH
