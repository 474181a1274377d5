"""Names of topics and subscriptions, and expressions that select topics.

Invariant: an expression selects a topic only by its whole name, never one of Kafka's internal
topics, and in time linear in the name's length: RE2 has no catastrophic patterns.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import re2

from cachesvc.errors import InvalidRequest

EXPRESSION_LENGTH_MAX = 256
INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
"""Kafka's own; ``org.apache.kafka.common.internals.Topic`` lists them."""

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_NAME_RULE = "1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'"


def check_topic_name(name: str) -> None:
    """Accepts what Kafka accepts as a topic's name.

    Raises:
        InvalidRequest: It is not one (``INVALID_TOPIC_NAME``).
    """
    if _NAME.fullmatch(name) is None or name in (".", ".."):
        raise InvalidRequest(
            f"{_shown(name)} is not a topic name: {_NAME_RULE}, and neither '.' nor '..'",
            reason="INVALID_TOPIC_NAME",
        )


def check_subscription_name(name: str) -> None:
    """Accepts what may name a subscription.

    Raises:
        InvalidRequest: It may not (``INVALID_SUBSCRIPTION_NAME``).
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"{_shown(name)} is not a subscription name: {_NAME_RULE}",
            reason="INVALID_SUBSCRIPTION_NAME",
        )


def check_member_name(name: str) -> None:
    """Accepts what may name a member of a shared subscription.

    Raises:
        InvalidRequest: It may not (``INVALID_MEMBER_NAME``).
    """
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"{_shown(name)} is not a member's name: {_NAME_RULE}",
            reason="INVALID_MEMBER_NAME",
        )


def check_expression(expression: str) -> None:
    """Accepts an RE2 regular expression of 1 to 256 characters.

    Raises:
        InvalidRequest: It is none; the message says what is wrong and where
            (``INVALID_TOPIC_EXPRESSION``, with ``position`` where it is known).
    """
    _compile(expression)


def topic_matcher(expression: str) -> Callable[[str], bool]:
    """A test whether an expression selects a topic.

    Raises:
        InvalidRequest: As ``check_expression``.
    """
    matches = _compile(expression).fullmatch
    return lambda topic: topic not in INTERNAL_TOPICS and matches(topic) is not None


@lru_cache(maxsize=256)
def _compile(expression: str) -> "re2._Regexp":
    if not 1 <= len(expression) <= EXPRESSION_LENGTH_MAX:
        raise InvalidRequest(
            f"a topic expression has 1 to {EXPRESSION_LENGTH_MAX} characters, not "
            f"{len(expression)}",
            reason="INVALID_TOPIC_EXPRESSION",
        )
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        raise _invalid_expression(expression, error) from None
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"topic expression: character {error.start} is not Unicode text",
            reason="INVALID_TOPIC_EXPRESSION",
            metadata={"position": error.start},
        ) from None


def _invalid_expression(expression: str, error: re2.error) -> InvalidRequest:
    """RE2 says what is wrong and, after a colon, in which part of the expression."""
    detail = error.args[0]
    text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
    problem, _, part = text.partition(": ")
    position = expression.find(part) if part else -1
    where = f" at character {position}: {part}" if position >= 0 else ""
    return InvalidRequest(
        f"topic expression {expression!r}: {problem}{where}",
        reason="INVALID_TOPIC_EXPRESSION",
        metadata={"position": position} if position >= 0 else None,
    )


def _shown(name: str) -> str:
    """A name as it may stand in a message, whatever its length and its characters."""
    return ascii(name) if len(name) <= 260 else f"{name[:40]!a}… ({len(name)} characters)"
