from dataclasses import replace

import pytest

from cachesvc.model import RejectReason
from cachesvc.policy.blocking import (
    ALONE_DEATHS_MAX,
    Blockage,
    BlockReason,
    Trouble,
    after_death,
    after_report,
    scheduled,
    tried,
)

MINUTE_MS = 60_000
# Two whose killer nobody knows, then those that had begun nothing else.
DEATHS = 2 + ALONE_DEATHS_MAX


def dies(times: int, offset: int = 7, before: Trouble | None = None) -> Trouble:
    for number in range(times):
        before = after_death(before, (offset, 0), 100, number, alone=number >= 2)
    assert before is not None
    return before


def stopped(reason: BlockReason, offset: int = 7) -> Blockage:
    return Blockage(reason, offset, 100, "for a reason")


def test_readers_that_die_at_one_place_block_it() -> None:
    assert not dies(DEATHS - 1).blocked
    found = dies(DEATHS)
    assert found.blocked
    assert found.withheld
    assert (found.blockage.reason, found.blockage.offset) == (BlockReason.READER_DIED, 7)


def test_a_death_elsewhere_begins_anew() -> None:
    elsewhere = dies(1, 8, dies(DEATHS - 1))
    assert (elsewhere.blocked, elsewhere.deaths) == (False, 1)


def test_two_deaths_with_nothing_else_begun_are_enough() -> None:
    once = after_death(None, (7, 0), 0, 0, alone=True)
    assert not once.blocked
    assert after_death(once, (7, 0), 0, 1, alone=True).blocked


def test_who_kills_a_reader_by_chance_has_nothing_good_blocked() -> None:
    """The readers die of offset 5; one of them is killed while it looks for that at offset 0."""
    trouble = None
    for number, (offset, alone) in enumerate([(0, False), (0, False), (0, True), (5, True)]):
        trouble = after_death(trouble, (offset, 7), 100, number, alone=alone)
        assert not trouble.blocked
    found = after_death(trouble, (5, 7), 100, 4, alone=True)
    assert (found.blocked, found.blockage.offset) == (True, 5)


def test_deaths_within_what_was_in_hand_are_at_one_place() -> None:
    first = after_death(None, (0, 100), 5, 0, alone=False)
    second = after_death(first, (64, 100), 5, 1, alone=False)
    third = after_death(second, (70, 100), 5, 2, alone=True)
    assert (third.blocked, third.deaths, third.last_offset) == (False, 3, 99)
    fourth = after_death(third, (70, 100), 5, 3, alone=True)
    assert (fourth.blocked, fourth.blockage.offset) == (True, 70)
    assert not after_death(second, (100, 200), 5, 2, alone=False).blocked
    assert not after_death(second, (63, 100), 5, 2, alone=False).blocked


def test_readers_that_are_killed_while_they_get_on_block_nothing() -> None:
    trouble, offset = None, 0
    for number in range(50):
        trouble = after_death(trouble, (offset, 100_000), 5, number, alone=False)
        assert not trouble.blocked
        offset += 1_000


def test_the_record_is_found_behind_many_good_ones() -> None:
    trouble = None
    for number, offset in enumerate((0, 5_000, 5_030, 5_030)):
        assert trouble is None or not trouble.blocked
        trouble = after_death(trouble, (offset, 10_000), 5, number, alone=number >= 2)
    assert trouble is not None
    assert (trouble.blocked, trouble.blockage.offset) == (True, 5_030)


def test_a_report_after_deaths_is_no_death() -> None:
    reported = after_report(dies(DEATHS - 1), stopped(BlockReason.UNDECODABLE), 5)
    assert (reported.blocked, reported.withheld, reported.deaths) == (True, False, 0)


def test_the_same_report_again_changes_nothing() -> None:
    first = after_report(None, stopped(BlockReason.UNDECODABLE), 5)
    assert after_report(first, stopped(BlockReason.UNDECODABLE), 99) == first
    turned_away = after_report(None, stopped(BlockReason.TOO_LARGE), 5)
    assert after_report(turned_away, stopped(BlockReason.TOO_LARGE), 99) == turned_away


@pytest.mark.parametrize("reason", BlockReason)
def test_only_what_may_pass_is_tried_again_by_itself(reason: BlockReason) -> None:
    assert bool(scheduled(Trouble(stopped(reason), True, 0), 10).retry_ms) is reason.may_pass


def test_what_the_policy_stops_at_does_not_pass() -> None:
    assert {BlockReason(reason.value).may_pass for reason in RejectReason} == {False}


def test_tries_become_seldom_and_are_never_given_up() -> None:
    trouble, waits = after_report(None, stopped(BlockReason.OUT_OF_MEMORY), 0), []
    for _ in range(20):
        waits.append(trouble.retry_ms - trouble.since_ms)
        again = tried(trouble, trouble.retry_ms)
        assert not again.blocked
        trouble = after_report(again, stopped(BlockReason.OUT_OF_MEMORY), again.since_ms)
    assert waits[:3] == [MINUTE_MS, 4 * MINUTE_MS, 16 * MINUTE_MS]
    assert waits == sorted(waits)
    assert waits[-1] == 360 * MINUTE_MS


def test_one_more_death_of_a_try_blocks_again_for_longer() -> None:
    first = dies(DEATHS)
    second = dies(1, before=tried(first, 10))
    assert second.blocked
    assert second.retry_ms > first.retry_ms
    assert second.tries == 1


def test_what_is_told_names_place_size_and_reason() -> None:
    text = replace(stopped(BlockReason.TOO_LARGE), bytes=150_000_012).told("orders", 3)
    assert text.startswith("PARTITION_BLOCKED: ")
    for word in ("orders", "partition 3", "offset 7", "150,000,012", "TOO_LARGE"):
        assert word in text


def test_what_was_in_hand_while_something_else_killed_is_not_blocked() -> None:
    trouble = None
    for number in range(10):
        trouble = after_death(trouble, (7, 9), 5, number, alone=False)
        assert not trouble.blocked
