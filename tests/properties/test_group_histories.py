"""A group of members through any history of coming, going, reading and committing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cachesvc.errors import Superseded
from cachesvc.policy.sharing import PartitionName
from cachesvc.subscriptions.members import Member
from tests.unit.subscriptions.groups import Shared, at, in_loop, name


class Histories(RuleBasedStateMachine):
    """Members come, go, deliver, commit and are late, in any order.

    The model is a list per partition of who delivered what, and what each stored commit covers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared = Shared(5)
        self.epochs: dict[tuple[Member, int], int] = {}
        self.highest: dict[int, int] = {}
        self.begun: dict[tuple[int, int], int] = {}

    @property
    def members(self) -> list[Member]:
        return list(self.shared.group.members.values())

    @rule(member=st.sampled_from("abcd"))
    def join(self, member: str) -> None:
        self.shared.join(member)

    @rule(which=st.integers(0, 3))
    def leave(self, which: int) -> None:
        if self.members:
            self.shared.group.leave(self.members[which % len(self.members)], finished=False)

    @rule(which=st.integers(0, 3), number=st.integers(0, 4), count=st.integers(1, 9))
    def deliver(self, which: int, number: int, count: int) -> None:
        """Only what was not told to be lost, and from the stored position on."""
        if not self.members:
            return
        member = self.members[which % len(self.members)]
        holding = self.shared.group.held(member).get(name(number))
        if holding is not None and not holding.told:
            stored = self.shared.stored.get(at(number), 0)
            begin = member.subscriber.delivered.get(at(number), stored)
            self.begun.setdefault((number, holding.epoch), begin)
            assert self.begun[number, holding.epoch] <= stored, "nothing is left out"
            self.shared.deliver(member, number, begin + count)

    @rule(which=st.integers(0, 3))
    def tell(self, which: int) -> None:
        if self.members:
            self.shared.tell(self.members[which % len(self.members)])

    @rule(which=st.integers(0, 3), number=st.integers(0, 4))
    def commit(self, which: int, number: int) -> None:
        if not self.members:
            return
        member = self.members[which % len(self.members)]
        holding = self.shared.group.held(member).get(name(number))
        delivered = member.subscriber.delivered.get(at(number))
        if holding is None or delivered is None:
            return
        overdue = holding.revoked_s is not None and holding.revoked_s <= self.shared.now_s
        try:
            self.shared.commit({number: delivered}, {number: holding.epoch})
        except Superseded:
            assert overdue
        else:
            assert not overdue

    @rule(number=st.integers(0, 4), epoch=st.integers(0, 60))
    def commit_of_any_epoch(self, number: int, epoch: int) -> None:
        held = {
            each.epoch
            for member in self.members
            for of, each in self.shared.group.held(member).items()
            if of == name(number)
        }
        number_of = 7_000_000_000 + epoch
        if number_of not in held:
            with pytest.raises(Superseded):
                self.shared.commit({number: 0}, {number: number_of})

    @rule(seconds=st.sampled_from([1, 5, 10]))
    def time_passes(self, seconds: int) -> None:
        self.shared.now_s += seconds
        self.shared.group.balance_overdue()

    @invariant()
    def every_partition_is_with_one_member_and_epochs_grow(self) -> None:
        seen: set[PartitionName] = set()
        for member in self.members:
            for of, each in self.shared.group.held(member).items():
                assert of not in seen
                seen.add(of)
                assert each.epoch >= self.highest.get(of[1], 0)
                self.highest[of[1]] = each.epoch
        assert not self.members or len(seen) == 5

    @invariant()
    def who_stays_has_an_even_share_in_the_end(self) -> None:
        """Once everything revoked is told and committed, or its time is over."""
        for member in self.members:
            kept = len(self.shared.has(member))
            assert kept <= -(-5 // len(self.members))


@in_loop
def test_any_history() -> None:
    run_state_machine_as_test(Histories)


@given(st.lists(st.sampled_from("abcde"), max_size=12))
@in_loop
def test_shares_are_even_after_any_coming_and_going(steps: list[str]) -> None:
    shared = Shared(7)
    members: dict[str, Member] = {}
    for each in steps:
        if each in members:
            shared.group.leave(members.pop(each), finished=False)
        else:
            members[each] = shared.join(each)
        for member in list(members.values()):
            shared.tell(member)
    counts = [len(shared.has(member)) for member in members.values()] or [0]
    assert max(counts) - min(counts) <= 1
    assert not members or sum(counts) == 7
