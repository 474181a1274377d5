"""A sync task as a process of its own, to be killed: tells on stdout what it was given.

    python -m tests.faults.client_process ADDRESS SUBSCRIPTION TOPIC COMMIT_EVERY

One JSON object a line: ``{"started": {partition: offset}}``, then for each batch ``{"partition",
"rows", "next"}``, and ``{"committed": [partition, offset]}`` once a commit was answered. It commits
every COMMIT_EVERY batches; with 0 never.
"""

import asyncio
import json
import sys

from cachesvc.client import Client, Mode


def _tell(**said: object) -> None:
    print(json.dumps(said), flush=True)


async def _run(address: str, subscription: str, topic: str, commit_every: int) -> None:
    async with (
        Client(address) as client,
        client.subscribe(
            subscription,
            topics=[topic],
            mode=Mode.FULL_AND_INCREMENTAL,
            batch_bytes_max=64 << 10,
        ) as stream,
    ):
        _tell(started={at.partition: at.offset for at in stream.started.positions.values()})
        count = 0
        async for batch in stream:
            count += 1
            rows = [
                (record.offset, None if record.value is None else record.value.decode())
                for record in batch
            ]
            _tell(partition=batch.partition, rows=rows, next=batch.next_position)
            if commit_every and count % commit_every == 0:
                await stream.commit(batch.position)
                _tell(committed=(batch.partition, batch.next_position))


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
