from __future__ import annotations

import time

import pytest

from cachesvc.errors import InvalidRequest
from cachesvc.policy.topics import (
    EXPRESSION_LENGTH_MAX,
    INTERNAL_TOPICS,
    check_expression,
    check_subscription_name,
    check_topic_name,
    topic_matcher,
)


@pytest.mark.parametrize(
    "name", ["a", "orders.v1", "A-Z_0.9", "a" * 249, "...", "__consumer_offsets"]
)
def test_topic_names(name: str) -> None:
    check_topic_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a" * 250, "a b", "a/b", "ü", "a\n", "a\x00", "${x}", "a" * 10_000]
)
def test_no_topic_names(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a topic name") as caught:
        check_topic_name(name)
    assert caught.value.reason == "INVALID_TOPIC_NAME"
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a", ".", "sync-task.42", "a" * 249])
def test_subscription_names(name: str) -> None:
    check_subscription_name(name)


@pytest.mark.parametrize("name", ["", "a" * 250, "a b", "a/b", "ü", "a\n"])
def test_no_subscription_names(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a subscription name") as caught:
        check_subscription_name(name)
    assert caught.value.reason == "INVALID_SUBSCRIPTION_NAME"


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("orders", ["orders"]),
        ("orders.*", ["orders", "orders-eu", "orders.us"]),
        (".*orders", ["orders", "re-orders"]),
        ("orders|customers", ["orders", "customers"]),
        ("(?i)ORDERS", ["orders"]),
        ("orders[.-](eu|us)", ["orders-eu", "orders.us"]),
        ("^orders$", ["orders"]),
        ("rder", []),
        (".*", ["orders", "orders-eu", "orders.us", "re-orders", "customers"]),
        ("__consumer_offsets", []),
    ],
)
def test_an_expression_matches_whole_names(expression: str, selected: list[str]) -> None:
    topics = ["orders", "orders-eu", "orders.us", "re-orders", "customers", *INTERNAL_TOPICS]
    assert list(filter(topic_matcher(expression), topics)) == selected


@pytest.mark.parametrize(
    ("expression", "problem", "position"),
    [
        ("a(b", r"missing \)", "0"),
        ("ab[c", r"missing \].* at character 2: \[c", "2"),
        ("x(?<=a)b", r"invalid perl operator at character 1: \(\?<=", "1"),
        (r"(a)\1", r"invalid escape sequence at character 3: \\1", "3"),
        ("a{2000}", r"invalid repetition size at character 1: \{2000\}", "1"),
        ("ab**", r"bad repetition operator at character 2: \*\*", "2"),
    ],
)
def test_an_invalid_expression_is_told_where(expression: str, problem: str, position: str) -> None:
    with pytest.raises(InvalidRequest, match=problem) as caught:
        check_expression(expression)
    assert caught.value.reason == "INVALID_TOPIC_EXPRESSION"
    assert caught.value.metadata == {"position": position}


@pytest.mark.parametrize("expression", ["", "a" * (EXPRESSION_LENGTH_MAX + 1)])
def test_an_expression_has_1_to_256_characters(expression: str) -> None:
    with pytest.raises(InvalidRequest, match="has 1 to 256 characters"):
        check_expression(expression)
    check_expression("a" * EXPRESSION_LENGTH_MAX)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="character 1 is not Unicode") as caught:
        check_expression("a\udcff")
    assert caught.value.metadata == {"position": "1"}


def test_an_expression_that_needs_too_much_memory_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"too large|invalid repetition size"):
        check_expression("((((a{100}){100}){100}){100})")


def test_no_expression_is_catastrophic() -> None:
    matches = topic_matcher("(a*)*(a|aa)+$|(.*)*b")
    started = time.process_time()
    assert not matches("a" * 248 + "!")
    assert time.process_time() - started < 1
