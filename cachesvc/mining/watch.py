"""Keeps the service's view of each cluster up to date."""

import asyncio
import contextlib
import logging
import random
import time

from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import SourceUnreachable, StoreUnwritable

_log = logging.getLogger(__name__)
_FIRST_RETRY_S = 0.5
_ADDRESSES_TRIED_S = 60.0


async def watch(sources: Sources, source: Source, interval_s: float) -> None:
    """Looks for topics and partitions every ``interval_s``, and sooner when asked, until cancelled.

    While the cluster does not answer it asks again after 0.5 s, then twice as long each time, up to
    ``interval_s``, with jitter. Each minute all addresses of a cluster that answers are tried, for
    one that leads elsewhere is better known before it is needed.
    """
    async with asyncio.TaskGroup() as tasks:
        await _watch(sources, source, interval_s, tasks)


async def _watch(
    sources: Sources, source: Source, interval_s: float, tasks: asyncio.TaskGroup
) -> None:
    tried_s = float("-inf")
    pause_s = _FIRST_RETRY_S
    told = ""
    while True:
        try:
            await sources.look(source)
        except (SourceUnreachable, StoreUnwritable) as error:
            if error.reason != told:
                told = error.reason
                _log.warning(
                    "a cluster cannot be used, trying again",
                    extra={
                        "event": "source_unreachable",
                        "connection": source.name,
                        "reason": error.reason,
                        "error": str(error),
                    },
                )
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(pause_s * 2, interval_s)
            continue
        if told:
            told = ""
            _log.info(
                "a cluster answers again",
                extra={"event": "source_reachable", "connection": source.name},
            )
        pause_s = _FIRST_RETRY_S
        if time.monotonic() - tried_s > _ADDRESSES_TRIED_S:
            # One that does not answer keeps no look waiting.
            tasks.create_task(sources.try_addresses(source))
            tried_s = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_s):
                await source.refresh_wanted.wait()
        source.refresh_wanted.clear()
