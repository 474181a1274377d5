"""Which facts are wrong now: each rule of what somebody has to know of."""

from collections.abc import Mapping

from cachesvc.model import GapCause, MiningState, PartitionId
from cachesvc.policy.alarm_facts import (
    AwayFacts,
    DamageFacts,
    DescriptorFacts,
    Facts,
    LostFacts,
    MiningFacts,
    RecoveryFacts,
    StoreFacts,
    UnreadFacts,
)
from cachesvc.policy.alarms import CLEAR_SHARE, AlarmKey, AlarmKind, Condition, Thresholds

DESCRIPTORS_SHARE = 0.9
"""Of the file descriptors that the process may have, so many are too many."""


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
