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
from lag_reasons import rows
from partitions import logs_of


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
        logs = {name: await logs_of(found, name) for name in {s.connection for s in subscriptions}}
    most = options.records_max
    behind = [row for each in subscriptions for row in rows(each, logs[each.connection], most)]
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
