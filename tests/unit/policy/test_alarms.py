from __future__ import annotations

import pytest

from cachesvc.model import MiningState, PartitionId
from cachesvc.policy.alarm_conditions import conditions
from cachesvc.policy.alarm_facts import (
    AwayFacts,
    DamageFacts,
    DescriptorFacts,
    Facts,
    ForeignFacts,
    LostFacts,
    MiningFacts,
    RecoveryFacts,
    StoreFacts,
    TaskFacts,
    UnreadFacts,
)
from cachesvc.policy.alarms import AlarmKey, AlarmKind, Condition, Standing, Thresholds, judge
from cachesvc.policy.cluster_identity import ForeignAddress

ORDERS = PartitionId("main", "orders", 1, 0)
SECOND = ORDERS.topic_id.partition(1)
LIMITS = Thresholds(1_000, 60.0, 100.0, 0.25, raise_after_ms=10, clear_after_ms=30)
LAG = AlarmKey(AlarmKind.MINING_LAG, "main", "orders")
BAD = Condition("bad")
NEARLY = Condition("nearly bad", raises=False)


def mined(state: MiningState, partition: PartitionId = ORDERS, **facts: object) -> MiningFacts:
    return MiningFacts(partition, state, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(), []),
        (Facts(mining=[mined(MiningState.MINING), mined(MiningState.IDLE, SECOND)]), []),
        (
            Facts(tasks=[TaskFacts("main", True, True, "x"), TaskFacts("b", False, True, "y")]),
            [AlarmKey(AlarmKind.TASK_STOPPED, "main"), AlarmKey(AlarmKind.TASK_FAILED, "b")],
        ),
        (
            Facts(unreachable={"main": "x"}, mining=[mined(MiningState.SOURCE_UNREACHABLE)]),
            [AlarmKey(AlarmKind.SOURCE_UNREACHABLE, "main")],
        ),
        (
            Facts(foreign={"main": ForeignFacts((ForeignAddress("k:1", "theirs"),), "ours")}),
            [AlarmKey(AlarmKind.SOURCE_CHANGED, "main")],
        ),
        (
            Facts(mining=[mined(MiningState.SOURCE_UNREACHABLE, error="SOURCE_CHANGED: k:1")]),
            [AlarmKey(AlarmKind.SOURCE_CHANGED, "main")],
        ),
        (
            Facts(mining=[mined(MiningState.BLOCKED), mined(MiningState.BLOCKED, SECOND)]),
            [
                AlarmKey(AlarmKind.PARTITION_BLOCKED, "main", "orders", 0),
                AlarmKey(AlarmKind.PARTITION_BLOCKED, "main", "orders", 1),
            ],
        ),
        (
            Facts(mining=[mined(MiningState.FAILED), mined(MiningState.FAILED, SECOND)]),
            [AlarmKey(AlarmKind.TOPIC_FAILED, "main", "orders")],
        ),
    ],
)
def test_what_is_wrong(facts: Facts, expected: list[AlarmKey]) -> None:
    found = conditions(facts, LIMITS)
    assert list(found) == expected
    assert all(condition.raises for condition in found.values())


def test_stores_that_are_away_are_one_alarm_that_names_each() -> None:
    away = [AwayFacts("a", "no way", 0, 9), AwayFacts("b", "slow", 5, 9), AwayFacts("c", "x", 9, 9)]
    found = conditions(Facts(away=away), LIMITS)
    assert list(found) == [AlarmKey(AlarmKind.STORE_AWAY, "")]
    (condition,) = found.values()
    assert condition.message == (
        "store 'a' is away: no way; store 'b' is away: slow; journals of 5 bytes wait for it, "
        "mining pauses at 9; store 'c' is away: x; nothing is mined for it until it takes what "
        "waits"
    )


def test_an_alarm_says_which_address_leads_where() -> None:
    foreign = (ForeignAddress("k:1", "theirs"), ForeignAddress("l:1", ""))
    found = conditions(Facts(foreign={"main": ForeignFacts(foreign, "ours")}), LIMITS)
    (condition,) = found.values()
    assert condition.message == (
        "k:1 leads to cluster theirs, l:1 leads to a cluster that tells no id; what was mined is "
        "of cluster ours, and nothing is taken from there; correct bootstrap_servers, or accept "
        "the other cluster"
    )


@pytest.mark.parametrize(
    ("lags", "expected"),
    [
        ([(1_000, 60.0)], NEARLY),
        ([(1_001, 0.0)], BAD),
        ([(600, 0.0), (600, 0.0)], BAD),
        ([(0, 61.0), (0, None)], BAD),
        ([(0, 40.0), (0, 40.0)], None),
        ([(800, 0.0)], NEARLY),
        ([(799, 47.9)], None),
        ([(None, None)], None),
    ],
)
def test_lag(lags: list[tuple[int | None, float | None]], expected: Condition | None) -> None:
    facts = Facts(
        mining=[
            MiningFacts(ORDERS.topic_id.partition(n), MiningState.MINING, "", records, seconds)
            for n, (records, seconds) in enumerate(lags)
        ]
    )
    found = conditions(facts, LIMITS).get(LAG)
    assert (found and found.raises) == (expected and expected.raises)
    none = Thresholds(0, 0.0, 0.0, 0.0, 0, 0)
    assert conditions(facts, none) == {}


@pytest.mark.parametrize(
    ("left_s", "retention_s", "expected"),
    [
        (1_000, 3_600, None),
        (126, 3_600, None),
        (124, 3_600, NEARLY),
        (99, 3_600, BAD),
        (-5, 3_600, BAD),
        # A margin that the retention has hardly room for is a quarter of it.
        (99, 200, None),
        (49, 200, BAD),
    ],
)
def test_retention(left_s: float, retention_s: float, expected: Condition | None) -> None:
    facts = Facts(unread=[UnreadFacts("copies", ORDERS, left_s, retention_s)])
    key = AlarmKey(AlarmKind.RETENTION_NEAR, "main", "orders", 0, "copies")
    found = conditions(facts, LIMITS).get(key)
    assert (found and found.raises) == (expected and expected.raises)


@pytest.mark.parametrize(
    ("used_share", "expected"),
    [(0.5, None), (0.61, NEARLY), (0.74, NEARLY), (0.76, BAD), (1.2, BAD)],
)
def test_limits_of_size(used_share: float, expected: Condition | None) -> None:
    facts = Facts(unread=[UnreadFacts("copies", ORDERS, 1e6, 1e7, used_share)])
    key = AlarmKey(AlarmKind.RETENTION_NEAR, "main", "orders", 0, "copies")
    found = conditions(facts, LIMITS).get(key)
    assert (found and found.raises) == (expected and expected.raises)
    none = Thresholds(0, 0.0, 0.0, 0.0, 0, 0)
    assert conditions(facts, none) == {}


@pytest.mark.parametrize(
    ("kept_bytes", "expected"), [(500, None), (650, NEARLY), (760, BAD), (1_000, BAD)]
)
def test_what_may_not_go_of_a_store(kept_bytes: int, expected: Condition | None) -> None:
    stores = {"b": StoreFacts(1_000, kept_bytes, ""), "a": StoreFacts(1_000, 0, "")}
    found = conditions(Facts(stores=stores), LIMITS)
    near = found.pop(AlarmKey(AlarmKind.STORE_NEARLY_FULL, ""), None)
    assert (near and near.raises) == (expected and expected.raises)
    assert near is None or f"{kept_bytes / 1_000:.0%} of the budget of store b" in near.message
    assert found == {}


def test_a_full_store() -> None:
    facts = Facts(
        stores={"b": StoreFacts(1_000, 0, "it holds too much"), "a": StoreFacts(9, 0, "")}
    )
    found = conditions(facts, LIMITS)[AlarmKey(AlarmKind.STORE_FULL, "")]
    assert found.raises
    assert "nothing is mined into store b: it holds too much" in found.message


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (DamageFacts(ORDERS, ("f: torn",), ()), "f: torn; its records are whole elsewhere, or"),
        (DamageFacts(ORDERS, ("f: torn",), ("[3, 7)",)), "f: torn; offsets [3, 7) are being mined"),
        (DamageFacts(ORDERS, (), ("[3, 7)",)), "a file of the store was damaged; offsets [3, 7)"),
    ],
)
def test_damage_is_told_at_once_however_soon_it_is_repaired(
    damage: DamageFacts, expected: str
) -> None:
    key = AlarmKey(AlarmKind.STORE_DAMAGED, "main", "orders", 0)
    found = conditions(Facts(damage=[damage]), LIMITS)
    assert found[key].message.startswith(expected)
    verdict = judge(found, {}, 5, LIMITS)
    assert verdict.raised == (key,)
    verdict = judge({}, verdict.standing, 6, LIMITS)
    assert judge({}, verdict.standing, 6 + LIMITS.clear_after_ms, LIMITS).cleared == (key,)


def test_what_became_a_gap_names_who_comes_to_it() -> None:
    facts = Facts(lost=[LostFacts(ORDERS, ("[3, 7)",), ("a", "b"))])
    found = conditions(facts, LIMITS)[AlarmKey(AlarmKind.RECORDS_LOST, "main", "orders", 0)]
    assert found.at_once
    assert "offsets [3, 7) were in a damaged file" in found.message
    assert found.message.endswith("come: a, b")


def history(*steps: tuple[int, Condition | None]) -> list[str]:
    """What happens to one key over (time, condition) steps."""
    standing: dict[AlarmKey, Standing] = {}
    happened = []
    for now_ms, condition in steps:
        verdict = judge({LAG: condition} if condition else {}, standing, now_ms, LIMITS)
        standing = verdict.standing
        happened += [f"raise {now_ms}" for _ in verdict.raised]
        happened += [f"clear {now_ms}" for _ in verdict.cleared]
    return happened


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(0, BAD), (9, BAD)], []),
        ([(0, BAD), (10, BAD), (20, BAD)], ["raise 10"]),
        # What is gone in between begins anew, and so does what is only nearly bad.
        ([(0, BAD), (5, None), (6, BAD), (15, BAD), (16, BAD)], ["raise 16"]),
        ([(0, BAD), (5, NEARLY), (6, BAD), (15, BAD)], []),
        ([(0, NEARLY), (100, NEARLY)], []),
        ([(0, BAD), (10, BAD), (20, None), (49, None), (50, None)], ["raise 10", "clear 50"]),
        # Nearly bad keeps it; a short recovery does not clear it.
        ([(0, BAD), (10, BAD), (20, None), (45, NEARLY), (60, None), (89, None)], ["raise 10"]),
        (
            [(0, BAD), (10, BAD), (20, None), (45, BAD), (60, None), (90, None)],
            ["raise 10", "clear 90"],
        ),
        (
            [(0, BAD), (10, BAD), (20, None), (50, None), (51, BAD), (61, BAD)],
            ["raise 10", "clear 50", "raise 61"],
        ),
    ],
)
def test_it_does_not_flap(steps: list[tuple[int, Condition | None]], expected: list[str]) -> None:
    assert history(*steps) == expected


def test_what_stands_at_a_start_is_not_raised_again() -> None:
    stands = {LAG: Standing("before", True, None)}
    verdict = judge({LAG: BAD}, stands, 5, LIMITS)
    assert verdict.raised == verdict.cleared == ()
    assert verdict.standing[LAG].message == "bad"
    gone = judge({}, stands, 5, LIMITS)
    assert gone.cleared == ()
    assert judge({}, gone.standing, 35, LIMITS).cleared == (LAG,)


def test_who_loads_anew_is_told_of() -> None:
    partition = PartitionId("main", "orders", 1, 3)
    found = conditions(Facts(recoveries=[RecoveryFacts("billing", partition, 70)]), LIMITS)
    key = AlarmKey(AlarmKind.RECOVERS_FROM_SNAPSHOT, "main", "orders", 3, "billing")
    assert found.keys() == {key}
    assert found[key].raises
    assert "billing had lost records" in found[key].message
    assert "up to offset 70" in found[key].message


@pytest.mark.parametrize(
    ("in_use", "condition"), [(737, None), (738, False), (921, False), (922, True), (1024, True)]
)
def test_few_descriptors_are_left(in_use: int, condition: bool | None) -> None:
    found = conditions(Facts(descriptors=DescriptorFacts(in_use, 1_024)), LIMITS)
    key = AlarmKey(AlarmKind.OUT_OF_DESCRIPTORS, "")
    assert (found[key].raises if key in found else None) is condition
    if condition:
        assert f"{in_use:,} of 1,024 file descriptors (RLIMIT_NOFILE)" in found[key].message
