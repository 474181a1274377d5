"""A task's positions moved by hand: at the service, at the target, and in the file of "auto"."""

import asyncio
from pathlib import Path

import msgspec

from cachesvc.client import Client, NotFound, Position, Positions, Start, Subscription
from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.cache_source import open_stream, stream_settings
from cachesvc.sync.runner.kept_positions import KeptPositions
from cachesvc.sync.sink import ForgettingSink, Sink
from cachesvc.sync.state import AlreadyRuns


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task goes on.

    Attributes:
        task: Its name.
        subscription: Where the service keeps its position.
        positions: Those that are stored now; partitions without one start as the task says.
        forgotten: Positions that the target kept, and keeps no more.
    """

    task: str
    subscription: str
    positions: tuple[Position, ...]
    forgotten: tuple[Position, ...]


async def reset_task(parts: TaskParts, start: Start | None, *, forget_full_sync: bool) -> Reset:
    """Has a task that does not run go on elsewhere; the sink is closed afterwards.

    The service has the new positions before the target forgets its own: whatever is in the way
    in between, the same can be done again.

    Args:
        parts: Of the task.
        start: Where; None to start as the task's settings say.
        forget_full_sync: Also forget that a full sync was done.

    Raises:
        AlreadyRuns: Somebody reads the subscription.
        TargetFailed: The target keeps positions that it cannot forget.
        ClientError, SyncError: The service or the target refuses, or is not there.
    """
    config = parts.config
    try:
        async with parts.client() as client:
            # First, for a target that is away is no reason to have moved half of it.
            kept = await parts.sink.open() or Positions()
            sink = _forgetting(parts.sink) if kept else None
            positions = await _reset_service(parts, client, start, forget_full_sync)
            if sink is not None:
                await sink.forget()
    finally:
        await parts.sink.close()
    if config.source.positions_file is not None:
        await asyncio.to_thread(KeptPositions(Path(config.source.positions_file)).forget)
    return Reset(
        task=config.name,
        subscription=config.subscription,
        positions=tuple(sorted(positions.values())),
        forgotten=tuple(sorted(kept.values())),
    )


def _forgetting(sink: Sink) -> ForgettingSink:
    if isinstance(sink, ForgettingSink):
        return sink
    raise TargetFailed(
        "the target keeps the task's positions, and its sink has no way to forget them; "
        "the sink's documentation has to say how",
        reason="POSITIONS_KEPT",
    )


async def _reset_service(
    parts: TaskParts, client: Client, start: Start | None, forget_full_sync: bool
) -> Positions:
    """The positions that the service has afterwards."""
    config = parts.config
    try:
        _require_free(await client.get_subscription(config.subscription))
        known = await client.reset_subscription(
            config.subscription, start=start, forget_full_sync=forget_full_sync
        )
        return Positions(each.position for each in known.partitions)
    except NotFound:
        if start is None:
            return Positions()
    # A task that never ran: a short stream stores where it will begin.
    alone = msgspec.structs.replace(config.source, sharing="exclusive", member="")
    config = msgspec.structs.replace(config, source=alone)
    async with open_stream(client, config, start, stream_settings(config.retry)) as stream:
        await stream.commit(stream.started.positions)
        return stream.started.positions


def _require_free(known: Subscription) -> None:
    if known.connected:
        raise AlreadyRuns(
            f"subscription {known.name!r} is being read, perhaps on another machine; "
            "stop that first"
        )
