"""Follow a topic and tell what happens on the way: events.py [HOST:PORT] [TOPIC]."""

import asyncio
import sys

from cachesvc.client import Batch, CaughtUp, Client, Ended, Mode, Progress, Started


async def main(target: str = "127.0.0.1:7070", topic: str = "orders") -> None:
    """Full first, then whatever comes; ends when the service ends it, or with Ctrl-C."""
    async with (
        Client(target) as client,
        client.subscribe("example-events", topics=topic, mode=Mode.FULL) as stream,
    ):
        async for event in stream.events():
            match event:
                case Started():
                    print("connected again" if event.resumed else "connected", event.positions)
                case Batch():
                    print(f"{event.topic}/{event.partition}: {len(event)} records")
                    await stream.commit(event.position)
                case CaughtUp():
                    print(f"{event.topic}: that was all for now")
                case Progress():
                    for of in event.partitions:
                        print(f"{of.position}: {of.mining_state.name} {of.mining_error}")
                case Ended():
                    await stream.commit(event.positions)
                case _:
                    print(event)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
