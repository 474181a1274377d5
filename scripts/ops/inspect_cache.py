#!/usr/bin/env python3
"""What is in the cache, topic by topic, and whether something is wrong.

A row for each topic that has something cached or is needed: what mining of it does, how many
offsets are cached and how far the source is ahead, what it takes on disk, who reads it. Alarms that
stand are on stderr, in JSON in the field `alarms`. The exit code is 1 if one stands, or if a topic
that is needed is not mined; so cron tells.
"""

import argparse
import json
from collections import Counter

from cachesvc.v1 import admin_pb2, alarms_pb2
from cachesvc.v1 import log_cache_pb2 as pb
from console import UNWELL, WELL, parser, run, say, service, show

_WRONG = {"BLOCKED", "SOURCE_UNREACHABLE", "FAILED", "STOPPED"}


def row(topic: admin_pb2.Topic, readers: Counter[tuple[str, str]]) -> dict[str, object]:
    """A topic as a row."""
    of = topic.partitions
    known = [each for each in of if each.HasField("source_high_watermark")]
    return {
        "connection": topic.connection,
        "topic": topic.name,
        "needed": topic.needed,
        "state": pb.MiningState.Name(topic.mining_state),
        "partitions": len(of),
        "cached": sum(each.log_end_offset - each.log_start_offset for each in of),
        "behind": sum(max(0, k.source_high_watermark - k.log_end_offset) for k in known),
        "segments": topic.segment_count,
        "segment_bytes": topic.segment_bytes,
        "journal_bytes": topic.journal_bytes,
        "rejects": topic.reject_count,
        "subscriptions": readers[topic.connection, topic.name],
        "error": topic.mining_error,
    }


async def main(options: argparse.Namespace) -> int:
    """Looks, and says what it saw."""
    request = admin_pb2.ListTopicsRequest(connection=options.connection, topic=options.topic)
    async with service(options) as found:
        topics = (await found.admin.ListTopics(request)).topics
        subscriptions = await found.client.list_subscriptions(connection=options.connection)
        standing = alarms_pb2.ListAlarmsRequest(connection=options.connection)
        alarms = (await found.admin.ListAlarms(standing)).alarms
    readers = Counter(
        (each.connection, topic)
        for each in subscriptions
        for topic in {*each.topics, *(part.position.topic for part in each.partitions)}
    )
    rows = [row(topic, readers) for topic in topics]
    rows = [each for each in rows if each["needed"] or each["cached"] or each["segments"]]
    texts = [f"{alarms_pb2.AlarmKind.Name(each.kind)}: {each.message}" for each in alarms]
    if options.json:
        print(json.dumps({"topics": rows, "alarms": texts}, indent=2))
    else:
        show(rows, False, "nothing is cached")
        for text in texts:
            say(text)
    wrong = [each for each in rows if each["needed"] and each["state"] in _WRONG]
    return UNWELL if wrong or texts else WELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("topic", nargs="?", default="", help="only this one")
    arguments.add_argument("--connection", default="", help="only of this connection")
    run(main, arguments.parse_args())
