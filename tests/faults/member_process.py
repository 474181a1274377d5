"""A worker that shares a subscription, as a process: says on its output what it gets.

python -m tests.faults.member_process ADDRESS TOPIC NAME [BOOTSTRAP [STAYS]]

With STAYS it does nothing more once it has committed a batch of a snapshot.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from typing import Any

from cachesvc.client import (
    Batch,
    Bootstrap,
    Client,
    Mode,
    PartitionsAssigned,
    PartitionsRevoked,
    Sharing,
    Stream,
    StreamSettings,
)

SNAPSHOT_BATCH_S = 0.3
"""So long it works on a batch of a snapshot, so that it does not often end with it unharmed."""


def _tell(**said: Any) -> None:
    print(json.dumps(said), flush=True)


async def _work(stream: Stream, *, stays: bool) -> None:
    """Commits now and then, and what it loses mostly as soon as it is told."""
    epochs: dict[int, int] = {}
    async for event in stream.events():
        match event:
            case PartitionsAssigned():
                epochs.update({number: epoch for (_, number), epoch in event.epochs.items()})
                _tell(
                    assigned=[
                        (number, at.offset, event.epochs[topic, number])
                        for (topic, number), at in event.positions.items()
                    ],
                    snapshots=[(e.partition, e.end_offset, e.resumed) for e in event.snapshots],
                )
            case Batch():
                rows = [(r.offset, None if r.value is None else r.value.decode()) for r in event]
                number = event.partition
                _tell(partition=number, epoch=epochs[number], rows=rows)
                if event.snapshot or random.random() < 0.5:
                    await stream.commit(event.position)
                if event.snapshot:
                    await (asyncio.Event().wait() if stays else asyncio.sleep(SNAPSHOT_BATCH_S))
            case PartitionsRevoked() if random.random() < 0.7:
                await stream.commit(event.positions)
            case _:
                await stream.commit()


async def _run(
    address: str, topic: str, name: str, bootstrap: str = "NONE", stays: str = ""
) -> None:
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    async with (
        Client(address) as client,
        client.subscribe(
            "shared",
            topics=[topic],
            mode=Mode.FULL_AND_INCREMENTAL,
            sharing=Sharing.SHARED,
            member=name,
            bootstrap=Bootstrap[bootstrap],
            batch_bytes_max=64 << 10,
            settings=StreamSettings(reconnect_delay_max_s=0.5),
        ) as stream,
    ):
        await _work(stream, stays=bool(stays))


if __name__ == "__main__":
    try:
        asyncio.run(_run(*sys.argv[1:]))
    except asyncio.CancelledError:
        sys.exit(0)
