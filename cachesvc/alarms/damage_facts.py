"""Which partitions have damaged files, and what was lost of them."""

from collections.abc import Iterator

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, LostRange, PartitionId
from cachesvc.policy.alarm_facts import DamageFacts, LostFacts
from cachesvc.subscriptions.subscriptions import Subscriptions

_TOLD_MS = 60_000
"""What was found stands for so long, however soon it is mended."""
_FILES_MAX = 3
"""That a message names."""


def damage_facts(store: LogStore, now_ms: int) -> Iterator[DamageFacts]:
    """Partitions of which files were found damaged of late, or are not mended yet."""
    files: dict[PartitionId, list[str]] = {}
    for damage in store.damages.since(now_ms - _TOLD_MS):
        files.setdefault(damage.partition, []).append(f"{damage.file}: {damage.error}")
    waiting = store.mending.all_damaged()
    for partition in sorted({*files, *waiting}):
        found = files.get(partition, [])
        more = [f"and {len(found) - _FILES_MAX} more"] if len(found) > _FILES_MAX else []
        ranges = tuple(map(str, waiting.get(partition, ())))
        yield DamageFacts(partition, (*found[:_FILES_MAX], *more), ranges)


def lost_facts(store: LogStore, subscriptions: Subscriptions, now_ms: int) -> Iterator[LostFacts]:
    """Partitions of which something is lost that somebody comes to, or that was just found."""
    just_found = {damage.partition for damage in store.damages.since(now_ms - _TOLD_MS)}
    behind = [
        (subscription.record.name, subscription.positions) for subscription in subscriptions.all()
    ]
    for log in store.logs.values():
        lost = [each for each in log.lost if _is_from_damage(log, each)]
        if not lost:
            continue
        names = [
            name
            for name, positions in behind
            if any(positions.get(log.id, each.end) < each.end for each in lost)
        ]
        if names or log.id in just_found:
            ranges = tuple(f"[{each.begin}, {each.end})" for each in lost)
            yield LostFacts(log.id, ranges, tuple(names))


def _is_from_damage(log: PartitionLog, lost: LostRange) -> bool:
    return lost.cause is GapCause.STORE_DAMAGED and lost.end > lost.begin
