from cachesvc.mining.holdings import AssignedTopic, Changes, HeldPartition, Holdings
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH


def topic(name: str, epoch: int, incarnation: int = 1, **offsets: int) -> AssignedTopic:
    resume = {int(number.removeprefix("p")): offset for number, offset in offsets.items()}
    return AssignedTopic(name, incarnation, epoch, resume)


def summary(changes: Changes) -> tuple[list[str], list[tuple[str, int]]]:
    return (
        sorted(str(partition) for partition in changes.dropped),
        sorted((str(held.partition), held.next_offset) for held in changes.taken),
    )


def held(holdings: Holdings, name: str, number: int) -> HeldPartition:
    found = holdings.get(SourcePartition(name, number))
    assert found is not None
    return found


def test_the_first_assignment_takes_everything() -> None:
    holdings = Holdings()

    changes = holdings.assign([topic("a", 1, p0=-1, p1=7), topic("b", 4, p0=3)])

    assert summary(changes) == ([], [("a/0", -1), ("a/1", 7), ("b/0", 3)])
    assert held(holdings, "b", 0).epoch == 4


def test_the_same_epoch_leaves_a_partition_as_it_is() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=0)])
    before = held(holdings, "a", 0)
    before.next_offset = 50

    changes = holdings.assign([topic("a", 1, p0=20), topic("b", 1, p0=0)])

    assert summary(changes) == ([], [("b/0", 0)])
    assert held(holdings, "a", 0) is before
    assert before.next_offset == 50


def test_a_new_partition_joins_a_topic() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=0)])

    assert summary(holdings.assign([topic("a", 1, p0=9, p1=-1)])) == ([], [("a/1", -1)])


def test_a_new_epoch_or_incarnation_begins_anew() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=0)])
    before = held(holdings, "a", 0)

    assert summary(holdings.assign([topic("a", 2, p0=5)])) == (["a/0"], [("a/0", 5)])
    assert not holdings.holds(before, before.generation)
    assert summary(holdings.assign([topic("a", 2, 2, p0=0)])) == (["a/0"], [("a/0", 0)])


def test_what_is_not_named_is_dropped() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=0, p1=0), topic("b", 1, p0=0)])

    assert summary(holdings.assign([topic("a", 1, p1=0)])) == (["a/0", "b/0"], [])
    assert len(holdings) == 1


def test_a_lost_topic_comes_back_with_a_newer_epoch_only() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 3, p0=0, p1=0), topic("b", 1, p0=0)])

    assert sorted(map(str, holdings.lose("a", 1, 3))) == ["a/0", "a/1"]
    assert summary(holdings.assign([topic("a", 3, p0=0), topic("b", 1, p0=0)])) == ([], [])
    assert summary(holdings.assign([topic("a", 4, p0=8), topic("b", 1, p0=0)])) == (
        [],
        [("a/0", 8)],
    )


def test_going_back_makes_a_new_generation() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=10)])
    partition = held(holdings, "a", 0)

    assert partition.go_back(4, 5, "why") == 0

    assert partition.next_offset == 4
    assert holdings.holds(partition, 1)
    assert not holdings.holds(partition, 0)
    assert partition.failure == ""


def test_going_back_again_and_again_takes_longer_and_is_a_failure() -> None:
    partition = HeldPartition(SourcePartition("a", 0), 1, 1, 0)

    delays = [partition.go_back(0, 5, "why") for _ in range(20)]

    assert delays[0] == 0
    assert 0 < delays[1] < 0.2
    assert 5 <= delays[-1] <= 10
    assert partition.failure == "why"

    partition.get_on()

    assert partition.failure == ""
    assert partition.go_back(0, 5, "why") == 0


def test_what_fails_is_looked_for_in_smaller_and_smaller_appends() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=100)])
    partition = held(holdings, "a", 0)
    assert partition.rows_max(4_000) == 4_000

    rows, failures = [], 0
    while not partition.suspect(100, 5_000, partition.rows_max(4_000)):
        partition.go_back(100, UNKNOWN_EPOCH, "it fails")
        rows.append(partition.rows_max(4_000))
        failures += 1
        assert failures < 20
    assert rows[:3] == [62, 1, 1]
    assert failures <= 5

    partition.next_offset = 5_000
    assert partition.rows_max(4_000) == 4_000


def test_a_refusal_is_about_its_own_range_however_far_sending_has_come() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=0)])
    partition = held(holdings, "a", 0)
    for expected in (1, 1):
        partition.next_offset = 7  # it was sent
        assert not partition.suspect(0, 7, 7)
        partition.go_back(0, UNKNOWN_EPOCH, "it is refused")
        assert partition.rows_max(4_000) == expected


def test_another_attempt_begins_anew() -> None:
    holdings = Holdings()
    holdings.assign([topic("a", 1, p0=0)])
    again = AssignedTopic("a", 1, 1, {0: 5}, attempts={0: 1})
    assert summary(holdings.assign([again])) == (["a/0"], [("a/0", 5)])
    assert summary(holdings.assign([again])) == ([], [])
