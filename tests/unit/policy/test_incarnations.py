"""Which incarnation of a topic a cluster has now."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import GapCause, TopicId, TopicIncarnation
from cachesvc.policy.incarnations import first_offset, incarnation_now

FIRST = TopicIncarnation(TopicId("main", "orders"), "id-1")
UNNAMED = replace(FIRST, source_id="")
ids = st.sampled_from(["", "id-1", "id-2"])
clusters = st.sampled_from(["", "ours", "theirs"])
offsets = st.integers(0, 50)


def test_an_id_is_learnt_and_kept() -> None:
    assert incarnation_now(UNNAMED, "id-1", truncated=False) == FIRST
    assert incarnation_now(FIRST, "id-1", truncated=False) == FIRST
    assert incarnation_now(FIRST, "", truncated=False) == FIRST


def test_another_id_is_another_incarnation() -> None:
    second = TopicIncarnation(TopicId("main", "orders", 2), "id-2", GapCause.TOPIC_RECREATED)
    assert incarnation_now(FIRST, "id-2", truncated=False) == second
    assert incarnation_now(FIRST, "id-2", truncated=True) == second


def test_an_end_before_the_logs_is_another_incarnation_of_the_same_topic() -> None:
    truncated = TopicIncarnation(TopicId("main", "orders", 2), "id-1", GapCause.SOURCE_TRUNCATED)
    assert incarnation_now(FIRST, "id-1", truncated=True) == truncated


def test_without_ids_a_truncated_topic_may_have_been_created_again() -> None:
    found = incarnation_now(UNNAMED, "", truncated=True)
    assert found == TopicIncarnation(TopicId("main", "orders", 2), "", GapCause.TOPIC_RECREATED)


def test_another_cluster_is_another_incarnation_whatever_else_is_the_same() -> None:
    ours = replace(FIRST, cluster_id="ours")
    topic = TopicId("main", "orders", 2)
    for found_id, truncated in (("id-1", False), ("id-2", True), ("", False)):
        found = incarnation_now(ours, found_id, truncated=truncated, cluster_id="theirs")
        assert found == TopicIncarnation(topic, found_id, GapCause.SOURCE_CHANGED, "theirs")
    assert incarnation_now(ours, "id-1", truncated=False, cluster_id="ours") == ours
    assert incarnation_now(ours, "id-1", truncated=False) == ours
    assert incarnation_now(FIRST, "id-1", truncated=False, cluster_id="ours") == ours
    created_again = incarnation_now(ours, "id-2", truncated=False, cluster_id="ours")
    assert created_again == TopicIncarnation(topic, "id-2", GapCause.TOPIC_RECREATED, "ours")


@given(ids, ids, st.booleans(), clusters, clusters)
def test_incarnations_never_go_back_and_nothing_begins_without_a_cause(
    known: str, found: str, truncated: bool, mined: str, cluster: str
) -> None:
    before = replace(FIRST, source_id=known, cluster_id=mined)
    incarnation = incarnation_now(before, found, truncated=truncated, cluster_id=cluster)
    assert incarnation.cluster_id == (cluster or mined)
    grown = incarnation.topic.incarnation - FIRST.topic.incarnation
    assert grown in (0, 1)
    assert (incarnation.cause is not None) == bool(grown)
    again = incarnation_now(incarnation, found, truncated=False, cluster_id=cluster)
    assert again == incarnation


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
