"""What has still to happen until nothing of a connection is under way."""

import asyncio
import time

from cachesvc.v1 import log_cache_pb2 as pb
from console import Service, say
from partitions import Key, Logs, logs_of, whose

_AT_REST = {pb.STOPPED, pb.IDLE, pb.PAUSED}
_PASSING_BY = ("tail-", "ops-")
_POLL_S = 0.5
Row = dict[str, object]


async def wait_until_done(
    found: Service, connection: str, everybody: bool, wait_s_max: float
) -> list[Row]:
    """Waits until nothing is left and logs have not grown meanwhile; what is left in the end."""
    deadline = time.monotonic() + wait_s_max
    told, before = "", None
    while True:
        rows, logs = await undone(found, connection, everybody)
        ends = {key: log.log_end_offset for key, log in logs.items()}
        if not rows and ends == before:
            return []
        if time.monotonic() > deadline:
            return rows
        names = ", ".join(sorted({str(each["waits_for"]) for each in rows}))
        if names and names != told:
            say(f"waiting for {names}")
        told, before = names, ends
        await asyncio.sleep(_POLL_S)


async def undone(found: Service, connection: str, everybody: bool) -> tuple[list[Row], Logs]:
    """A row for each partition that is mined or read, and where the logs are.

    Args:
        found: The service.
        connection: Its name.
        everybody: Count subscriptions that nobody reads now, too.
    """
    logs = await logs_of(found, connection)
    rows = [_row("(mining)", k, None) for k, v in logs.items() if v.mining_state not in _AT_REST]
    request = pb.ListSubscriptionsRequest(connection=connection)
    for each in (await found.log_cache.ListSubscriptions(request)).subscriptions:
        if (each.connected or everybody) and not each.name.startswith(_PASSING_BY):
            rows += _unread(each, logs)
    return rows, logs


def _unread(subscription: pb.Subscription, logs: Logs) -> list[Row]:
    """Partitions with records that a subscription reads or has read, and has not committed."""
    read = [whose(each.position) for each in subscription.delivering]
    positions = {key: logs[key].log_start_offset for key in read if key in logs}
    positions |= {whose(each.position): each.position.offset for each in subscription.partitions}
    left = {key: logs[key].log_end_offset - at for key, at in positions.items() if key in logs}
    return [_row(subscription.name, key, count) for key, count in sorted(left.items()) if count > 0]


def _row(who: str, key: Key, records: int | None) -> Row:
    return {"waits_for": who, "topic": key[0], "partition": key[1], "records": records}
