"""At which step the records are that a subscription is behind by, and what to do about it."""

from cachesvc.v1 import log_cache_pb2 as pb
from partitions import Logs, whose

ADVICE = {
    "BACKFILL": "wait; `cachesvc topics TOPIC` tells how far it is",
    "NOT_CONNECTED": "start the task, or delete the subscription",
    "NOT_DELIVERED": "the task is slower than its topic: look at its sink, its processor, its link",
    "NOT_COMMITTED": "the task holds more than it commits: look at its sink and its batches",
    "MINING_MINING": "wait; if it does not get less: more readers, or a broker that is slow",
    "MINING_STARTING": "wait for a reader; `cachesvc readers` lists them",
    "MINING_BLOCKED": "`cachesvc mining blocked` shows the record",
    "MINING_SOURCE_UNREACHABLE": "`cachesvc connection test`",
    "MINING_STOPPED": "`cachesvc mining start` when it may go on",
    "MINING_THROTTLED": "a quota of the broker; raise it for the reader",
}


def reason(of: pb.PartitionOffsets, committed: int, delivered: int | None) -> str:
    """At which step most of it is; nothing is delivered where no stream is connected."""
    state = pb.MiningState.Name(of.mining_state)
    source = of.source_high_watermark if of.HasField("source_high_watermark") else 0
    reached = committed if delivered is None else max(delivered, committed)
    waiting = "NOT_CONNECTED" if delivered is None else "NOT_DELIVERED"
    if of.HasField("backfill") and reached < of.log_start_offset:
        waiting = "BACKFILL"
    parts = {
        f"MINING_{state}": source - of.log_end_offset,
        waiting: of.log_end_offset - reached,
        "NOT_COMMITTED": reached - committed,
    }
    return max(parts, key=lambda step: parts[step])


def rows(subscription: pb.Subscription, logs: Logs, records_max: int) -> list[dict[str, object]]:
    """A row for each partition that is behind by more than so many records."""
    stream = {whose(each.position): each for each in subscription.delivering}
    stored = {whose(each.position): each for each in subscription.partitions}
    found = []
    for key, part in (stream | stored).items():
        of = logs.get(key)
        if of is None:
            continue
        delivered = stream[key].position.offset if key in stream else None
        behind = max(of.log_end_offset, of.source_high_watermark) - part.position.offset
        if behind <= records_max:
            continue
        why = reason(of, part.position.offset, delivered)
        found.append(
            {
                "subscription": subscription.name,
                "topic": of.topic,
                "partition": of.partition,
                "behind": behind,
                "lag_s": round(part.lag.seconds, 1),
                "reason": why,
                "detail": of.mining_error or of.backfill_error,
                "advice": ADVICE.get(why, ""),
            }
        )
    return found
