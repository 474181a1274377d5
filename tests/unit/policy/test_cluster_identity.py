"""Which cluster a connection means."""

from __future__ import annotations

import pytest

from cachesvc.errors import PreconditionFailed
from cachesvc.policy.cluster_identity import (
    ForeignAddress,
    are_others,
    is_foreign,
    source_changed,
    to_accept,
)


@pytest.mark.parametrize(
    ("meant", "told", "foreign"),
    [
        ("", "", False),
        ("", "a", False),
        ("a", "a", False),
        ("a", "b", True),
        ("a", "", True),
    ],
)
def test_nothing_but_the_same_id_is_the_same_cluster(meant: str, told: str, foreign: bool) -> None:
    assert is_foreign(meant, told) is foreign


@pytest.mark.parametrize(
    ("known", "found", "others"),
    [
        ({}, {"orders": "1"}, False),
        ({"orders": "1"}, {}, False),
        ({"orders": ""}, {"orders": "1"}, False),
        ({"orders": "1"}, {"orders": ""}, False),
        ({"orders": "1"}, {"orders": "2"}, True),
        ({"orders": "1", "items": "3"}, {"orders": "2", "items": "4"}, True),
        ({"orders": "1", "items": "3"}, {"orders": "2", "items": "3"}, False),
        ({"orders": "1", "items": "3"}, {"orders": "2"}, True),
    ],
)
def test_one_topic_that_is_the_same_shows_the_same_cluster(
    known: dict[str, str], found: dict[str, str], others: bool
) -> None:
    assert are_others(known, found) is others


def test_the_error_says_which_address_leads_where_and_what_to_do() -> None:
    error = source_changed(ForeignAddress("k:9092", "theirs"), "ours", "k", 9092)
    assert str(error) == (
        "k:9092: cluster theirs answers there, and what was mined is of cluster ours; correct "
        "bootstrap_servers, or accept that one (cachesvc connection accept)"
    )
    assert error.reason == "SOURCE_CHANGED"
    assert error.metadata == {
        "host": "k",
        "port": "9092",
        "found_cluster_id": "theirs",
        "cluster_id": "ours",
    }
    without = source_changed(ForeignAddress("k:9092", ""), "ours", "k", 9092)
    assert "a cluster that tells no id answers there" in str(without)
    ruled_out = source_changed(ForeignAddress("k:9092", "theirs"), "", "k", 9092)
    assert "whose topics are others than those that were mined" in str(ruled_out)


@pytest.mark.parametrize(
    ("found", "wanted", "accepted"),
    [
        ({"a:1": "new"}, "", "new"),
        ({"a:1": "new", "b:1": "new"}, "", "new"),
        ({"a:1": "old"}, "", "old"),
        ({"a:1": "new", "b:1": "old"}, "new", "new"),
        ({"a:1": "new", "b:1": "old"}, "old", "old"),
    ],
)
def test_the_only_cluster_is_accepted_or_the_named_one(
    found: dict[str, str], wanted: str, accepted: str
) -> None:
    assert to_accept("old", found, wanted) == accepted


@pytest.mark.parametrize(
    ("found", "wanted", "reason"),
    [
        ({"a:1": "new", "b:1": "old"}, "", "CLUSTER_AMBIGUOUS"),
        ({"a:1": "new", "b:1": ""}, "", "CLUSTER_AMBIGUOUS"),
        ({"a:1": "new"}, "another", "CLUSTER_NOT_FOUND"),
        ({"a:1": ""}, "", "CLUSTER_WITHOUT_ID"),
    ],
)
def test_what_is_not_clear_is_refused(found: dict[str, str], wanted: str, reason: str) -> None:
    with pytest.raises(PreconditionFailed, match="a:1 leads to") as refused:
        to_accept("old", found, wanted)
    assert refused.value.reason == reason
