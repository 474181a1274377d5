"""Who has which partition of a shared subscription, on a clock of the test's."""

from __future__ import annotations

import pytest

from cachesvc.errors import InvalidRequest, MemberStalled, Superseded
from cachesvc.subscriptions.group import Group
from cachesvc.subscriptions.members import Member
from cachesvc.subscriptions.subscriber import Subscriber
from tests.unit.subscriptions.groups import BOUNDS, Shared, at, in_loop, name


@in_loop
def test_one_has_all_and_two_have_half_once_what_moves_was_told() -> None:
    shared = Shared()
    one = shared.join("one")
    assert shared.has(one) == [0, 1, 2, 3]
    two = shared.join("two")
    assert (shared.has(one), shared.loses(one), shared.has(two)) == ([0, 1], [2, 3], [])
    shared.tell(one)
    assert (shared.has(one), shared.loses(one), shared.has(two)) == ([0, 1], [], [2, 3])


@in_loop
def test_what_was_delivered_is_waited_for_until_it_is_committed() -> None:
    shared = Shared()
    one = shared.join("one")
    shared.deliver(one, 2, 50)
    epoch = shared.epoch(one, 2)
    two = shared.join("two")
    shared.tell(one)
    assert shared.has(two) == [3]
    shared.commit({2: 40}, {2: epoch})
    assert shared.loses(one) == [2]
    shared.commit({2: 50}, {2: epoch})
    assert (shared.loses(one), shared.has(two)) == ([], [2, 3])
    with pytest.raises(Superseded) as refused:
        shared.commit({0: 0, 2: 50}, {0: shared.epoch(one, 0), 2: epoch})
    assert refused.value.reason == "PARTITION_REVOKED"
    assert refused.value.metadata["partitions"] == "orders/2"


@in_loop
def test_a_commit_before_it_was_told_lets_nothing_go() -> None:
    """A batch may be on its way to the client as long as the stream has not taken it out."""
    shared = Shared()
    one = shared.join("one")
    shared.deliver(one, 2, 50)
    epoch = shared.epoch(one, 2)
    two = shared.join("two")
    shared.commit({2: 50}, {2: epoch})
    assert 2 not in shared.has(two)
    shared.deliver(one, 2, 60)
    shared.tell(one)
    assert 2 not in shared.has(two)
    shared.commit({2: 60}, {2: epoch})
    assert 2 in shared.has(two)


@in_loop
def test_after_the_bound_a_partition_is_taken_whatever_is_committed() -> None:
    shared = Shared()
    one = shared.join("one")
    shared.deliver(one, 3, 50)
    epoch = shared.epoch(one, 3)
    two = shared.join("two")
    shared.now_s = 9.9
    assert shared.group.next_s == pytest.approx(0.1)
    shared.group.balance_overdue()
    assert shared.has(two) == []
    shared.now_s = 10
    shared.group.balance_overdue()
    assert shared.has(two) == [2, 3]
    assert shared.group.next_s is None
    assert shared.epoch(two, 3) > epoch
    with pytest.raises(Superseded):
        shared.commit({3: 50}, {3: epoch})
    assert shared.stored[at(3)] == 0


@in_loop
def test_a_commit_at_the_bound_is_refused_even_if_nobody_looked() -> None:
    shared = Shared()
    one = shared.join("one")
    shared.deliver(one, 3, 50)
    epoch = shared.epoch(one, 3)
    two = shared.join("two")
    shared.now_s = 10
    with pytest.raises(Superseded):
        shared.commit({3: 50}, {3: epoch})
    assert shared.has(two) == [2, 3]


@in_loop
def test_whoever_goes_leaves_all_at_once_and_the_others_keep_theirs() -> None:
    shared = Shared(6)
    members = [shared.join(each) for each in "abc"]
    for member in members:
        shared.tell(member)
    a, b, c = members
    before = [shared.has(each) for each in members]
    assert sorted(map(len, before)) == [2, 2, 2]
    shared.deliver(a, before[0][0], 9)
    shared.group.leave(a, finished=False)
    assert set(before[1]) < set(shared.has(b))
    assert set(before[2]) < set(shared.has(c))
    assert sorted(shared.has(b) + shared.has(c)) == list(range(6))


@in_loop
def test_the_same_name_again_takes_the_place_and_gets_the_same_under_new_epochs() -> None:
    shared = Shared()
    one, two = shared.join("one"), shared.join("two")
    shared.tell(one)
    had = {number: shared.epoch(two, number) for number in shared.has(two)}
    again = shared.join("two")
    assert two.subscriber.ended.result().reason == "SUBSCRIPTION_TAKEN_OVER"
    assert shared.has(again) == list(had)
    assert all(shared.epoch(again, number) > epoch for number, epoch in had.items())
    shared.group.leave(two, finished=False)
    assert shared.has(again) == list(had), "the old stream's end is nobody's"


@in_loop
def test_epochs_of_the_next_group_are_higher() -> None:
    shared = Shared()
    one = shared.join("one")
    following = Group(8, dict, BOUNDS, lambda: 0.0)
    following.cover([name(0)])
    member = Member("one", Subscriber(8), 0)
    following.join(member)
    assert following.held(member)[name(0)].epoch > shared.epoch(one, 3)


@in_loop
def test_nothing_beyond_what_was_delivered_is_committed() -> None:
    shared = Shared()
    one = shared.join("one")
    shared.deliver(one, 0, 5)
    with pytest.raises(InvalidRequest) as refused:
        shared.commit({0: 6}, {0: shared.epoch(one, 0)})
    assert refused.value.reason == "POSITION_NOT_DELIVERED"


@in_loop
def test_who_takes_nothing_has_to_end_if_others_do_take() -> None:
    shared = Shared()
    one = shared.join("one")
    one.writing_since_s = 0.0
    shared.now_s = 60
    shared.group.end_if_stalled(one)
    assert not one.subscriber.ended.done(), "nobody else could have its partitions"
    two = shared.join("two")
    two.writing_since_s = 0.0
    shared.group.end_if_stalled(one)
    assert not one.subscriber.ended.done(), "nor could one that is stalled too"
    two.writing_since_s = 0.1
    shared.group.end_if_stalled(one)
    assert isinstance(one.subscriber.ended.result(), MemberStalled)


@in_loop
def test_all_end_together_and_may_still_commit() -> None:
    shared = Shared(2)
    one, two = shared.join("one"), shared.join("two")
    shared.tell(one)
    shared.deliver(one, 0, 5)
    shared.deliver(two, 1, 7)
    assert not shared.group.note_done([name(0)])
    assert shared.group.note_done([name(1)])
    assert shared.group.note_done([name(0)])
    first, second = shared.epoch(one, 0), shared.epoch(two, 1)
    shared.group.leave(one, finished=True)
    shared.group.leave(two, finished=True)
    assert len(shared.group.members) == 2
    shared.commit({0: 5}, {0: first})
    assert list(shared.group.members) == ["two"]
    shared.commit({1: 7}, {1: second})
    assert not shared.group.members


@in_loop
def test_one_that_comes_when_all_is_delivered_waits_for_the_others_commits() -> None:
    shared = Shared(1)
    one = shared.join("one")
    shared.deliver(one, 0, 5)
    assert shared.group.note_done([name(0)])
    shared.group.leave(one, finished=True)
    two = shared.join("two")
    assert not shared.group.note_done([])
    shared.now_s = 10
    shared.group.balance_overdue()
    assert shared.has(two) == [0], "what was not committed comes again"
    assert shared.group.note_done([])


@in_loop
def test_who_has_finished_may_take_longer_as_long_as_nobody_comes() -> None:
    shared = Shared(1)
    one = shared.join("one")
    shared.deliver(one, 0, 5)
    shared.group.note_done([name(0)])
    shared.group.leave(one, finished=True)
    epoch = shared.epoch(one, 0)
    shared.now_s = 3_600
    shared.commit({0: 4}, {0: epoch})
    assert shared.stored[at(0)] == 4
    shared.group.retire()
    assert not shared.group.members
    with pytest.raises(Superseded):
        shared.commit({0: 5}, {0: epoch})


@in_loop
def test_a_done_partition_that_is_freed_has_to_be_done_again() -> None:
    shared = Shared(2)
    one, two = shared.join("one"), shared.join("two")
    shared.tell(one)
    shared.deliver(one, 0, 5)
    shared.group.note_done([name(0)])
    shared.group.leave(one, finished=False)
    assert shared.has(two) == [0, 1]
    assert not shared.group.note_done([name(1)])
    assert shared.group.note_done([name(0), name(1)])
