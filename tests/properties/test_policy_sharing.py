"""Sharing for any partitions, members and past."""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.sharing import PartitionName, share

names = st.tuples(st.sampled_from(["customers", "orders"]), st.integers(0, 11))
member_names = st.sampled_from([f"m{number}" for number in range(6)])
pasts = st.dictionaries(names, member_names, max_size=20)


@given(st.sets(names, max_size=20), st.sets(member_names), pasts)
def test_every_partition_has_one_member_and_numbers_are_even(
    partitions: set[PartitionName], members: set[str], current: dict[PartitionName, str]
) -> None:
    after = share(partitions, members, current)
    assert after.keys() == (partitions if members else set())
    counts = Counter(dict.fromkeys(members, 0))
    counts.update(after.values())
    assert counts.keys() == members
    assert not members or max(counts.values()) - min(counts.values()) <= 1


@given(st.sets(names, max_size=20), st.sets(member_names), pasts)
def test_sharing_again_moves_nothing_and_no_order_counts(
    partitions: set[PartitionName], members: set[str], current: dict[PartitionName, str]
) -> None:
    after = share(partitions, members, current)
    assert share(partitions, members, after) == after
    turned = dict(reversed(list(current.items())))
    assert share(sorted(partitions, reverse=True), sorted(members, reverse=True), turned) == after


@given(
    st.sets(names, max_size=6),
    st.sets(member_names, min_size=1, max_size=3),
    st.dictionaries(names, member_names, max_size=8),
)
def test_no_even_outcome_takes_fewer_from_who_has_them(
    partitions: set[PartitionName], members: set[str], current: dict[PartitionName, str]
) -> None:
    """Against all there are, one by one."""
    ordered = sorted(partitions)

    def taken(outcome: dict[PartitionName, str]) -> int:
        kept = {p: m for p, m in current.items() if p in partitions and m in members}
        return sum(outcome[p] != m for p, m in kept.items())

    outcomes = (
        dict(zip(ordered, chosen, strict=True))
        for chosen in product(sorted(members), repeat=len(ordered))
    )
    even = [
        each
        for each in outcomes
        if max(of := [list(each.values()).count(m) for m in members]) - min(of) <= 1
    ]
    assert taken(share(partitions, members, current)) == min(map(taken, even))


def test_a_member_that_comes_takes_its_share_alone_and_one_that_goes_leaves_the_others_theirs() -> (
    None
):
    partitions = [("orders", number) for number in range(12)]
    three = share(partitions, ["a", "b", "c"], {})
    four = share(partitions, ["a", "b", "c", "d"], three)
    assert [p for p in partitions if four[p] != three[p]] == [
        p for p in partitions if four[p] == "d"
    ]
    for gone in ("a", "b", "c", "d"):
        left = share(partitions, {"a", "b", "c", "d"} - {gone}, four)
        assert all(left[p] == four[p] for p in partitions if four[p] != gone)


def test_members_without_a_partition() -> None:
    for order in permutations(["a", "b", "c"]):
        assert share([("orders", 0)], order, {("orders", 0): "c"}) == {("orders", 0): "c"}
