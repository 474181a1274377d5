#!/usr/bin/env python3
"""Drain before maintenance: stop mining, and wait until tasks have committed all that is cached.

    drain.py --connection orders --wait-s-max 600 && systemctl stop cachesvc
    drain.py --connection orders --resume                        # afterwards

Mining of the connection is stopped (over restarts, until --resume), so that logs stop growing; then
every subscription that a task reads has to come to their ends. --all waits for those that nobody
reads too; nothing waits for those of `cachesvc tail` and of scripts. At last journals are sealed,
so that a start has little to recover. The exit code is 0 once that is done. If it is not in time,
or the script is ended, mining goes on as it did before, the exit code is not 0, and what is still
behind is shown.
"""

import argparse
import asyncio
import time

from cachesvc.v1 import admin_pb2
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1 import mining_tasks_pb2 as mining
from console import UNWELL, WELL, ScriptFailed, Service, connection, parser, run, say, service, show

_POLL_S = 0.5
_AT_REST = {pb.STOPPED, pb.IDLE, pb.PAUSED}
_PASSING_BY = ("tail-", "ops-")
Key = tuple[str, int, int]
Row = dict[str, object]


def of(position: pb.Position | pb.PartitionOffsets) -> Key:
    """Whose it is."""
    return position.topic, position.partition, position.incarnation


def unread(subscription: pb.Subscription, logs: dict[Key, pb.PartitionOffsets]) -> list[Row]:
    """Partitions with records that a subscription reads or has read, and has not committed."""
    read = [of(each.position) for each in subscription.delivering]
    positions = {key: logs[key].log_start_offset for key in read if key in logs}
    positions |= {of(each.position): each.position.offset for each in subscription.partitions}
    left = {key: logs[key].log_end_offset - at for key, at in positions.items() if key in logs}
    return [row(subscription.name, key, count) for key, count in sorted(left.items()) if count > 0]


def row(who: str, key: Key, records: int | None) -> Row:
    """Something that drain waits for."""
    return {"waits_for": who, "topic": key[0], "partition": key[1], "records": records}


async def left(found: Service, name: str, everybody: bool) -> tuple[list[Row], dict[Key, int]]:
    """What has still to happen, and where the logs end."""
    offsets = await found.log_cache.ListOffsets(pb.ListOffsetsRequest(connection=name))
    logs = {of(each): each for each in offsets.partitions}
    rows = [row("(mining)", k, None) for k, v in logs.items() if v.mining_state not in _AT_REST]
    request = pb.ListSubscriptionsRequest(connection=name)
    for each in (await found.log_cache.ListSubscriptions(request)).subscriptions:
        if (each.connected or everybody) and not each.name.startswith(_PASSING_BY):
            rows += unread(each, logs)
    return rows, {key: log.log_end_offset for key, log in logs.items()}


async def drain(found: Service, name: str, options: argparse.Namespace) -> list[Row]:
    """Waits until nothing is left and logs have not grown meanwhile; what is left in the end."""
    deadline = time.monotonic() + options.wait_s_max
    told, before = "", None
    while True:
        rows, ends = await left(found, name, options.all)
        if not rows and ends == before:
            return []
        if time.monotonic() > deadline:
            return rows
        names = ", ".join(sorted({str(each["waits_for"]) for each in rows}))
        if names and names != told:
            say(f"waiting for {names}")
        told, before = names, ends
        await asyncio.sleep(_POLL_S)


async def seal(found: Service) -> None:
    """Makes Parquet files of all journals."""
    async for report in found.admin.RunJob(admin_pb2.RunJobRequest(name="seal")):
        if report.HasField("run") and not report.run.succeeded:
            raise ScriptFailed(f"journals could not be sealed: {report.run.error}")


async def main(options: argparse.Namespace) -> int:
    """Stops, waits, seals; or starts again."""
    async with service(options) as found:
        name = (await connection(found, options.connection)).name
        start = mining.StartMiningTaskRequest(connection=name)
        if options.resume:
            await found.admin.StartMiningTask(start)
            say(f"mining of {name} goes on")
            return WELL
        tasks = await found.admin.ListMiningTasks(mining.ListMiningTasksRequest(connection=name))
        stopped_before = any(task.state == mining.TASK_STOPPED for task in tasks.tasks)
        rows, drained = [], False
        try:
            await found.admin.StopMiningTask(mining.StopMiningTaskRequest(connection=name))
            rows = await drain(found, name, options)
            if not rows:
                await seal(found)
                drained = True
        finally:
            if not drained and not stopped_before:
                await found.admin.StartMiningTask(start)
    show(rows, options.json, f"{name} is drained; --resume afterwards")
    return WELL if drained else UNWELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--connection", default="", help="needed where there are several")
    arguments.add_argument("--all", action="store_true", help="wait for disconnected tasks as well")
    arguments.add_argument(
        "--wait-s-max", type=float, default=300, metavar="S", help="how long to wait; 300"
    )
    arguments.add_argument("--resume", action="store_true", help="start mining again, after it")
    run(main, arguments.parse_args())
