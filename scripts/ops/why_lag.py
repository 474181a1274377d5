#!/usr/bin/env python3
"""Why subscriptions lag: for each partition that is behind, what it waits for and what to do.

A record has to be mined, delivered, worked on and committed. Of what is between the source's end
and the committed position, most is at one of these steps; that is the reason:

    MINING_…        not in the cache yet; the rest of the word is what mining does
    BACKFILL        below what is cached; it is being mined for the subscription
    NOT_CONNECTED   cached, and nobody reads
    NOT_DELIVERED   cached, and the stream waits for its task to take more
    NOT_COMMITTED   the task has it, and has not committed yet

The exit code is 1 if one is behind by more than --records-max.
"""

import argparse

from cachesvc.v1 import log_cache_pb2 as pb
from console import UNWELL, WELL, parser, run, service, show

Key = tuple[str, int, int]
_ADVICE = {
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


def key(position: pb.Position) -> Key:
    """Whose position it is."""
    return position.topic, position.partition, position.incarnation


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


def rows(
    subscription: pb.Subscription, logs: dict[Key, pb.PartitionOffsets]
) -> list[dict[str, object]]:
    """A row for each partition that is behind."""
    stream = {key(each.position): each for each in subscription.delivering}
    found = []
    for whose, part in (
        stream | {key(each.position): each for each in subscription.partitions}
    ).items():
        of = logs.get(whose)
        if of is None:
            continue
        delivered = stream[whose].position.offset if whose in stream else None
        why = reason(of, part.position.offset, delivered)
        found.append(
            {
                "subscription": subscription.name,
                "topic": of.topic,
                "partition": of.partition,
                "behind": max(of.log_end_offset, of.source_high_watermark) - part.position.offset,
                "lag_s": round(part.lag.seconds, 1),
                "reason": why,
                "detail": of.mining_error or of.backfill_error,
                "advice": _ADVICE.get(why, ""),
            }
        )
    return found


async def main(options: argparse.Namespace) -> int:
    """Asks for all of it, and says what is behind."""
    async with service(options) as found:
        if options.subscription:
            request = pb.GetSubscriptionRequest(subscription=options.subscription)
            subscriptions = [(await found.log_cache.GetSubscription(request)).subscription]
        else:
            everything = pb.ListSubscriptionsRequest(connection=options.connection)
            subscriptions = list(
                (await found.log_cache.ListSubscriptions(everything)).subscriptions
            )
        logs: dict[str, dict[Key, pb.PartitionOffsets]] = {}
        for name in {each.connection for each in subscriptions}:
            answer = await found.log_cache.ListOffsets(pb.ListOffsetsRequest(connection=name))
            logs[name] = {(of.topic, of.partition, of.incarnation): of for of in answer.partitions}
    behind = [row for each in subscriptions for row in rows(each, logs[each.connection])]
    behind = [row for row in behind if int(str(row["behind"])) > options.records_max]
    show(behind, options.json, "nothing is behind")
    return UNWELL if behind else WELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("subscription", nargs="?", default="", help="only this one")
    arguments.add_argument("--connection", default="", help="only of this connection")
    arguments.add_argument(
        "--records-max", type=int, default=0, metavar="N", help="up to N behind is fine; 0"
    )
    run(main, arguments.parse_args())
