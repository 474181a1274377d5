"""What each acknowledgement promises, held against topics."""

import pytest

from cachesvc.policy.acknowledgement import acks_problem, acks_promise, most_of
from cachesvc.policy.connection_checks import CheckStatus, judge_acks


@pytest.mark.parametrize(("replicas", "most"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_most(replicas: int, most: int) -> None:
    assert most_of(replicas) == most


@pytest.mark.parametrize(
    ("acks", "replicas", "min_in_sync", "good"),
    [
        ("majority", 1, 1, True),
        ("majority", 3, 2, True),
        ("majority", 3, 3, True),
        ("majority", 3, 1, False),
        ("majority", 3, None, True),
        ("majority", 2, 1, False),
        ("all", 3, 1, True),
        ("majority", 1, 2, True),
        ("leader", 1, 2, True),
        ("none", 1, 2, True),
    ],
)
def test_topics_that_give_what_is_promised(
    acks: str, replicas: int, min_in_sync: int | None, good: bool
) -> None:
    assert (not acks_problem(acks, replicas, min_in_sync)) == good


def test_promises_say_what_can_be_lost() -> None:
    assert "lost without a word" in acks_promise("none", 3, 2)
    assert "if it dies" in acks_promise("leader", 3, 2)
    assert "at least 2 of 3" in acks_promise("majority", 3, 2)
    assert "cannot be seen" in acks_promise("all", 3, None)


def test_a_finding_names_the_topics_that_do_not() -> None:
    found = judge_acks("majority", {"good": (3, 2), "bad": (3, 1), "worse": (3, 1)})
    assert (found.status, found.reason) == (CheckStatus.FAILED, "ACKS_NOT_MET")
    assert "bad, worse: min.insync.replicas is 1 of 3" in found.detail
    assert "set it to 2" in found.hint
    assert judge_acks("majority", {"good": (3, 2)}).status is CheckStatus.PASSED
    assert judge_acks("majority", {}).status is CheckStatus.PASSED
