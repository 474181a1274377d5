"""Alarms: which facts about mining and subscriptions somebody has to know of, and for how long.

``conditions`` says what is wrong now. ``judge`` makes alarms of it that do not flap: one is raised
when its condition has held for a while and cleared when it has been gone for a while, and a number
that raised one has to come back well below its threshold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from cachesvc.model import GapCause, MiningState, PartitionId
from cachesvc.policy.cluster_identity import ForeignAddress

CLEAR_SHARE = 0.8
"""An alarm about a number stands until it is below this share of its threshold."""


DESCRIPTORS_SHARE = 0.9
"""Of the file descriptors that the process may have, so many are too many."""


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
class TaskFacts:
    """A mining task: whether an operator stopped it, whether it failed, and why."""

    connection: str
    stopped: bool
    failed: bool
    cause: str


@dataclass(frozen=True, slots=True)
class MiningFacts:
    """A partition that is to be mined.

    Attributes:
        partition: Which.
        state: What its mining does.
        error: Why.
        lag_records: Offsets behind the source; None while it was not asked.
        lag_s: Seconds behind the source; None where that is not known.
    """

    partition: PartitionId
    state: MiningState
    error: str = ""
    lag_records: int | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class UnreadFacts:
    """A position with unread records behind it.

    Attributes:
        subscription: Whose.
        partition: Where.
        left_s: Seconds until retention may take the record there; 0 and below: it may be gone.
        retention_s: How long records stay.
        used_share: Of a limit of bytes or records of the topic, how much is as new as the record
            there or newer; above 1 it may be gone.
    """

    subscription: str
    partition: PartitionId
    left_s: float
    retention_s: float
    used_share: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """How full a store is that has a budget.

    Attributes:
        bytes_max: Its budget.
        kept_bytes: What of it may not go.
        full: Why nothing is mined into it; empty while that is not so.
    """

    bytes_max: int
    kept_bytes: int
    full: str


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """A subscription that fell out of retention and loads a partition anew, up to an offset."""

    subscription: str
    partition: PartitionId
    end_offset: int


@dataclass(frozen=True, slots=True)
class DescriptorFacts:
    """How many file descriptors the process has open, and may have."""

    in_use: int
    limit: int


@dataclass(frozen=True, slots=True)
class AwayFacts:
    """A store that does not take or give files.

    Attributes:
        store: Its name.
        error: Why.
        waiting_bytes: Of journals that wait for it.
        waiting_bytes_max: At so many nothing more is mined for it.
    """

    store: str
    error: str
    waiting_bytes: int
    waiting_bytes_max: int


@dataclass(frozen=True, slots=True)
class ForeignFacts:
    """Addresses of a connection that lead to other clusters.

    Attributes:
        addresses: They.
        cluster_id: Of the cluster that is meant.
    """

    addresses: tuple[ForeignAddress, ...]
    cluster_id: str


@dataclass(frozen=True, slots=True)
class DamageFacts:
    """A partition of which files were damaged.

    Attributes:
        partition: Which.
        files: What was found of late, each with what is wrong.
        mined_again: What has not yet been mined again, as ranges of offsets.
    """

    partition: PartitionId
    files: tuple[str, ...]
    mined_again: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LostFacts:
    """Records that were in a damaged file, and that the source has no more.

    Attributes:
        partition: Where.
        ranges: Their offsets.
        subscriptions: Who will come to them.
    """

    partition: PartitionId
    ranges: tuple[str, ...]
    subscriptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that alarms are made of.

    Attributes:
        tasks: Mining tasks.
        unreachable: Connections whose cluster does not answer, with the reason.
        mining: Partitions that are to be mined.
        unread: Positions with unread records.
        descriptors: File descriptors of the service; None where the system does not tell.
        foreign: Addresses that lead to other clusters, by connection.
        away: Stores that do not take or give files.
        stores: Those that have a budget, by name.
        damage: Partitions with damaged files.
        lost: What became a gap of that.
        recoveries: Subscriptions that load anew what they have lost.
    """

    tasks: Iterable[TaskFacts] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    mining: Iterable[MiningFacts] = ()
    unread: Iterable[UnreadFacts] = ()
    descriptors: DescriptorFacts | None = None
    foreign: Mapping[str, ForeignFacts] = field(default_factory=dict)
    stores: Mapping[str, StoreFacts] = field(default_factory=dict)
    damage: Iterable[DamageFacts] = ()
    lost: Iterable[LostFacts] = ()
    recoveries: Iterable[RecoveryFacts] = ()
    away: Iterable[AwayFacts] = ()


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


def conditions(facts: Facts, thresholds: Thresholds) -> dict[AlarmKey, Condition]:
    """What is wrong now, and what is nearly wrong."""
    found: dict[AlarmKey, Condition] = {}
    for task in facts.tasks:
        if task.stopped:
            key = AlarmKey(AlarmKind.TASK_STOPPED, task.connection)
            found[key] = Condition(f"the mining task is stopped: {task.cause}")
        elif task.failed:
            key = AlarmKey(AlarmKind.TASK_FAILED, task.connection)
            found[key] = Condition(f"the mining task has failed: {task.cause}")
    for connection, error in facts.unreachable.items():
        key = AlarmKey(AlarmKind.SOURCE_UNREACHABLE, connection)
        found[key] = Condition(f"the cluster cannot be used: {error}")
    for connection, foreign in facts.foreign.items():
        where = ", ".join(map(str, foreign.addresses))
        meant = f"cluster {foreign.cluster_id}" if foreign.cluster_id else "another one"
        text = f"{where}; what was mined is of {meant}, and nothing is taken from there; correct "
        text += "bootstrap_servers, or accept the other cluster"
        found[AlarmKey(AlarmKind.SOURCE_CHANGED, connection)] = Condition(text)
    lags: dict[tuple[str, str], tuple[int, float]] = {}
    for mined in facts.mining:
        _about_state(mined, found)
        topic = mined.partition.connection, mined.partition.topic
        records, seconds = lags.get(topic, (0, 0.0))
        lags[topic] = records + (mined.lag_records or 0), max(seconds, mined.lag_s or 0.0)
    for (connection, name), (records, seconds) in lags.items():
        level = max(
            _level(records, thresholds.lag_records_max), _level(seconds, thresholds.lag_s_max)
        )
        if level >= CLEAR_SHARE:
            message = f"mining is {records:,} records and {seconds:,.0f} s behind the source"
            found[AlarmKey(AlarmKind.MINING_LAG, connection, name)] = Condition(message, level > 1)
    if facts.descriptors is not None:
        _about_descriptors(facts.descriptors, found)
    if texts := [_away_text(away) for away in facts.away]:
        found[AlarmKey(AlarmKind.STORE_AWAY, "")] = Condition("; ".join(texts))
    for unread in facts.unread:
        _about_retention(unread, thresholds, found)
    _about_stores(facts.stores, thresholds.retention_margin_share, found)
    for damage in facts.damage:
        _about_damage(damage, found)
    for lost in facts.lost:
        _about_lost(lost, found)
    for recovery in facts.recoveries:
        _about_recovery(recovery, found)
    return found


def _about_state(mined: MiningFacts, found: dict[AlarmKey, Condition]) -> None:
    partition = mined.partition
    where = partition.connection, partition.topic, partition.partition
    if mined.state is MiningState.BLOCKED:
        found[AlarmKey(AlarmKind.PARTITION_BLOCKED, *where)] = Condition(
            f"mining has stopped at a record: {mined.error}"
        )
    elif mined.state is MiningState.FAILED:
        key = AlarmKey(AlarmKind.TOPIC_FAILED, partition.connection, partition.topic)
        found.setdefault(
            key, Condition(f"mining of partition {partition.partition} has failed: {mined.error}")
        )
    elif mined.state is MiningState.SOURCE_UNREACHABLE:
        _about_way(mined, found)


def _about_way(mined: MiningFacts, found: dict[AlarmKey, Condition]) -> None:
    """A reader cannot use the brokers; it may see another cluster than the service does."""
    elsewhere = mined.error.startswith(GapCause.SOURCE_CHANGED.name)
    kind = AlarmKind.SOURCE_CHANGED if elsewhere else AlarmKind.SOURCE_UNREACHABLE
    key = AlarmKey(kind, mined.partition.connection)
    found.setdefault(key, Condition(f"partitions cannot be mined: {mined.error}"))


def _about_descriptors(descriptors: DescriptorFacts, found: dict[AlarmKey, Condition]) -> None:
    level = _level(descriptors.in_use, descriptors.limit * DESCRIPTORS_SHARE)
    if level >= CLEAR_SHARE:
        message = (
            f"{descriptors.in_use:,} of {descriptors.limit:,} file descriptors (RLIMIT_NOFILE) are "
            "in use; start the service with a higher limit (LimitNOFILE=, ulimit -n)"
        )
        found[AlarmKey(AlarmKind.OUT_OF_DESCRIPTORS, "")] = Condition(message, level > 1)


def _away_text(away: AwayFacts) -> str:
    text = f"store {away.store!r} is away: {away.error}"
    if away.waiting_bytes >= away.waiting_bytes_max:
        return f"{text}; nothing is mined for it until it takes what waits"
    if away.waiting_bytes:
        text += f"; journals of {away.waiting_bytes:,} bytes wait for it, mining pauses at "
        text += f"{away.waiting_bytes_max:,}"
    return text


def _about_retention(
    unread: UnreadFacts, thresholds: Thresholds, found: dict[AlarmKey, Condition]
) -> None:
    margin_s = min(thresholds.retention_margin_s, unread.retention_s / 4)
    soon = bool(margin_s) and unread.left_s < margin_s / CLEAR_SHARE
    level = _used_level(unread.used_share, thresholds.retention_margin_share)
    if not soon and level < CLEAR_SHARE:
        return
    partition = unread.partition
    key = AlarmKey(
        AlarmKind.RETENTION_NEAR,
        partition.connection,
        partition.topic,
        partition.partition,
        unread.subscription,
    )
    if unread.left_s <= 0 or unread.used_share > 1:
        left = "may have taken already"
    elif soon:
        left = f"takes in {unread.left_s:,.0f} s"
    else:
        left = f"takes soon: of what stays of the topic {unread.used_share:.0%} is newer"
    message = f"subscription {unread.subscription} has not read records that retention {left}"
    found[key] = Condition(message, (soon and unread.left_s < margin_s) or level > 1)


def _about_stores(
    stores: Mapping[str, StoreFacts], margin_share: float, found: dict[AlarmKey, Condition]
) -> None:
    advice = "raise bytes_max, let subscriptions catch up, or lower the limits of what is unread"
    full = [f"{name}: {store.full}" for name, store in sorted(stores.items()) if store.full]
    if full:
        message = f"nothing is mined into store {'; '.join(full)}; {advice}"
        found[AlarmKey(AlarmKind.STORE_FULL, "")] = Condition(message)
    shares = {name: store.kept_bytes / store.bytes_max for name, store in sorted(stores.items())}
    levels = {name: _used_level(share, margin_share) for name, share in shares.items()}
    near = [name for name, level in levels.items() if level >= CLEAR_SHARE]
    if near:
        message = ", ".join(f"{shares[name]:.0%} of the budget of store {name}" for name in near)
        message += (
            f" may not go: subscriptions have still to read it; at 100% mining waits; {advice}"
        )
        raises = any(levels[name] > 1 for name in near)
        found[AlarmKey(AlarmKind.STORE_NEARLY_FULL, "")] = Condition(message, raises)


def _about_damage(damage: DamageFacts, found: dict[AlarmKey, Condition]) -> None:
    key = _of_partition(AlarmKind.STORE_DAMAGED, damage.partition)
    files = "; ".join(damage.files) or "a file of the store was damaged"
    after = "its records are whole elsewhere, or were mined again"
    if damage.mined_again:
        after = f"offsets {', '.join(damage.mined_again)} are being mined again"
    found[key] = Condition(f"{files}; {after}; look after the disk", at_once=True)


def _about_lost(lost: LostFacts, found: dict[AlarmKey, Condition]) -> None:
    key = _of_partition(AlarmKind.RECORDS_LOST, lost.partition)
    message = (
        f"offsets {', '.join(lost.ranges)} were in a damaged file, and the source has them no "
    )
    message += "more: a gap STORE_DAMAGED"
    if lost.subscriptions:
        message += f", to which these subscriptions will come: {', '.join(lost.subscriptions)}"
    found[key] = Condition(message, at_once=True)


def _of_partition(kind: AlarmKind, partition: PartitionId) -> AlarmKey:
    return AlarmKey(kind, partition.connection, partition.topic, partition.partition)


def _used_level(share: float, margin_share: float) -> float:
    """How much of what may be used without an alarm is."""
    return share / (1 - margin_share) if margin_share else 0.0


def _about_recovery(recovery: RecoveryFacts, found: dict[AlarmKey, Condition]) -> None:
    partition = recovery.partition
    key = AlarmKey(
        AlarmKind.RECOVERS_FROM_SNAPSHOT,
        partition.connection,
        partition.topic,
        partition.partition,
        recovery.subscription,
    )
    found[key] = Condition(
        f"subscription {recovery.subscription} had lost records and loads the partition anew, from "
        f"a snapshot up to offset {recovery.end_offset}"
    )


def _level(value: float, threshold: float) -> float:
    return value / threshold if threshold else 0.0


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
