"""Which life of a topic a cluster has now."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import GapCause, TopicId, TopicLife
from cachesvc.policy.lives import first_offset, life_now

FIRST = TopicLife(TopicId("main", "orders"), "id-1")
UNNAMED = replace(FIRST, source_id="")
ids = st.sampled_from(["", "id-1", "id-2"])
offsets = st.integers(0, 50)


def test_an_id_is_learnt_and_kept() -> None:
    assert life_now(UNNAMED, "id-1", truncated=False) == FIRST
    assert life_now(FIRST, "id-1", truncated=False) == FIRST
    assert life_now(FIRST, "", truncated=False) == FIRST


def test_another_id_is_another_life() -> None:
    second = TopicLife(TopicId("main", "orders", 2), "id-2", GapCause.TOPIC_RECREATED)
    assert life_now(FIRST, "id-2", truncated=False) == second
    assert life_now(FIRST, "id-2", truncated=True) == second


def test_an_end_before_the_logs_is_another_life_of_the_same_topic() -> None:
    truncated = TopicLife(TopicId("main", "orders", 2), "id-1", GapCause.SOURCE_TRUNCATED)
    assert life_now(FIRST, "id-1", truncated=True) == truncated


def test_without_ids_a_truncated_topic_may_have_been_created_again() -> None:
    found = life_now(UNNAMED, "", truncated=True)
    assert found == TopicLife(TopicId("main", "orders", 2), "", GapCause.TOPIC_RECREATED)


@given(ids, ids, st.booleans())
def test_incarnations_never_go_back_and_nothing_begins_without_a_cause(
    known: str, found: str, truncated: bool
) -> None:
    life = life_now(replace(FIRST, source_id=known), found, truncated=truncated)
    grown = life.topic.incarnation - FIRST.topic.incarnation
    assert grown in (0, 1)
    assert (life.cause is not None) == bool(grown)
    again = life_now(life, found, truncated=False)
    assert again == life


@given(st.sampled_from([None, *GapCause]), offsets, offsets, st.none() | offsets)
def test_a_new_log_begins_at_the_source_or_goes_on_untouched(
    cause: GapCause | None, earliest: int, more: int, log_end: int | None
) -> None:
    end = earliest + more
    begin = first_offset(cause, earliest, end, log_end)
    assert begin in (earliest, log_end)
    if begin != earliest:
        assert cause is GapCause.SOURCE_TRUNCATED
        assert earliest <= begin <= end
