"""Alarms: which facts about mining and subscriptions somebody has to know of, and for how long.

``alarm_conditions`` says what is wrong now. ``judge`` makes alarms of it that do not flap: one is
raised when its condition has held for a while and cleared when it has been gone for a while, and a
number that raised one has to come back well below its threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

CLEAR_SHARE = 0.8
"""An alarm about a number stands until it is below this share of its threshold."""


class AlarmKind(IntEnum):
    """What an alarm is about; numbers as in ``cachesvc.v1.AlarmKind``."""

    TASK_STOPPED = 1
    TASK_FAILED = 2
    TOPIC_FAILED = 3
    PARTITION_BLOCKED = 4
    SOURCE_UNREACHABLE = 5
    MINING_LAG = 6
    RETENTION_NEAR = 7
    SOURCE_CHANGED = 8
    OUT_OF_DESCRIPTORS = 9
    STORE_NEARLY_FULL = 10
    STORE_FULL = 11
    STORE_DAMAGED = 12
    RECORDS_LOST = 13
    STORE_AWAY = 14
    RECOVERS_FROM_SNAPSHOT = 20


@dataclass(frozen=True, slots=True, order=True)
class AlarmKey:
    """What an alarm is about; at most one alarm of a key stands at a time.

    Attributes:
        kind: What is wrong.
        connection: Whose; empty where it is about the service.
        topic: Empty where it is about the connection.
        partition: -1 where it is about all of them.
        subscription: Empty where it is about none.
    """

    kind: AlarmKind
    connection: str
    topic: str = ""
    partition: int = -1
    subscription: str = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When something is wrong. A threshold of 0 is none.

    Attributes:
        lag_records_max: Offsets that the mining of a topic may be behind.
        lag_s_max: Seconds that it may be behind.
        retention_margin_s: Seconds before retention takes an unread record; at most a quarter of
            the retention.
        retention_margin_share: Of a limit of size, before its end; and of a store's budget.
        raise_after_ms: How long something has to be wrong.
        clear_after_ms: How long it has to be right again.
    """

    lag_records_max: int
    lag_s_max: float
    retention_margin_s: float
    retention_margin_share: float
    raise_after_ms: int
    clear_after_ms: int


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong, or with ``raises`` false nearly wrong: that keeps an alarm only.

    With ``at_once`` it need not hold for a while: it may be over soon, and was wrong all the same.
    """

    message: str
    raises: bool = True
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of a key.

    Attributes:
        message: The newest.
        raised: Whether its alarm stands.
        since_ms: When its condition began to hold (not raised) or to be gone (raised); None while
            a raised one's condition holds.
    """

    message: str
    raised: bool
    since_ms: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``judge`` decides: what to remember, and what to raise and to clear, in key order."""

    standing: dict[AlarmKey, Standing]
    raised: tuple[AlarmKey, ...]
    cleared: tuple[AlarmKey, ...]


def judge(
    now: Mapping[AlarmKey, Condition],
    standing: Mapping[AlarmKey, Standing],
    now_ms: int,
    thresholds: Thresholds,
) -> Verdict:
    """What to raise and to clear.

    Args:
        now: What is wrong.
        standing: What the last verdict remembered; at a start those that stand, raised.
        now_ms: The present.
        thresholds: How long something has to hold.
    """
    after: dict[AlarmKey, Standing] = {}
    raised, cleared = [], []
    for key in sorted(now.keys() | standing.keys()):
        condition, before = now.get(key), standing.get(key)
        if before is not None and before.raised:
            kept = _kept(condition, before, now_ms, thresholds.clear_after_ms)
            if kept is None:
                cleared.append(key)
            else:
                after[key] = kept
        elif condition is not None and condition.raises:
            since_ms = before.since_ms if before and before.since_ms is not None else now_ms
            if condition.at_once or now_ms - since_ms >= thresholds.raise_after_ms:
                after[key] = Standing(condition.message, True, None)
                raised.append(key)
            else:
                after[key] = Standing(condition.message, False, since_ms)
    return Verdict(after, tuple(raised), tuple(cleared))


def _kept(
    condition: Condition | None, before: Standing, now_ms: int, clear_after_ms: int
) -> Standing | None:
    """What is remembered of a raised alarm; None once it is cleared."""
    if condition is not None:
        return Standing(condition.message, True, None)
    if before.since_ms is None:
        before = replace(before, since_ms=now_ms)
    assert before.since_ms is not None
    return None if now_ms - before.since_ms >= clear_after_ms else before
