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

from cachesvc.v1 import admin_pb2
from cachesvc.v1 import mining_tasks_pb2 as mining
from console import UNWELL, WELL, ScriptFailed, Service, connection, parser, run, say, service, show
from undone import Row, wait_until_done


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
        rows: list[Row] = []
        drained = False
        try:
            await found.admin.StopMiningTask(mining.StopMiningTaskRequest(connection=name))
            rows = await wait_until_done(found, name, options.all, options.wait_s_max)
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
