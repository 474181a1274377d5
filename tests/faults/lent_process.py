"""A task as a process of its own, to be killed, that keeps whatever it is handed.

    python -m tests.faults.lent_process ADDRESS SUBSCRIPTION TOPIC [SPARE]

Says ``lent`` or ``sent`` on stdout for each batch, a line each, and then ``end RECORDS``; then it
stays, with all of it. With SPARE it has room for so many more descriptors once it is connected.
"""

import asyncio
import os
import resource
import sys

import pyarrow as pa

from cachesvc.client import Client, Mode
from tests.support.lent import is_lent


def _tell(said: str) -> None:
    print(said, flush=True)


def _limit(spare: int) -> None:
    """Has every descriptor taken but for so many."""
    free = os.dup(0)
    os.close(free)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, hard))


async def _run(address: str, subscription: str, topic: str, spare: str = "") -> None:
    kept: list[pa.Table] = []
    async with Client(address) as client:
        await client.list_subscriptions()  # so that it is connected
        if spare:
            _limit(int(spare))
        async with client.subscribe(subscription, topics=[topic], mode=Mode.FULL) as stream:
            async for batch in stream:
                kept.append(batch.to_arrow())
                _tell("lent" if is_lent(batch) else "sent")
            _tell(f"end {sum(table.num_rows for table in kept)}")
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
