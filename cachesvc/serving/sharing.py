"""The call of a member: its stream, and what follows its group, side by side."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from cachesvc.serving.membership import Membership
from cachesvc.serving.silence import Write
from cachesvc.serving.stream import Stream
from cachesvc.serving.stream_events import started
from cachesvc.subscriptions.subscriber import Subscriber


async def share(
    membership: Membership,
    stream: Stream,
    write: Write,
    epoch: int,
    connection: str,
    name: str,
) -> None:
    """Serves a member until its stream is complete.

    Raises:
        CacheError: The stream cannot go on.
    """
    await membership.start()
    await write(started(epoch, connection, (), {}, member=name))
    following = asyncio.ensure_future(membership.run())
    delivering = asyncio.ensure_future(stream.run(write))
    try:
        await asyncio.wait({following, delivering}, return_when=asyncio.FIRST_COMPLETED)
        for task in (delivering, following):
            if task.done():
                task.result()
                return
    finally:
        for task in (following, delivering):
            task.cancel()
        await asyncio.gather(following, delivering, return_exceptions=True)
        stream.close()


async def until_ended(subscriber: Subscriber, work: Coroutine[Any, Any, None]) -> None:
    """Does the work of a stream unless its subscriber has to end before.

    Raises:
        CacheError: It has to, or the work has failed.
    """
    serving = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {serving, subscriber.ended}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if subscriber.ended.done() and (not serving.done() or serving.exception() is not None):
            raise subscriber.ended.result()
        serving.result()
    finally:
        serving.cancel()
