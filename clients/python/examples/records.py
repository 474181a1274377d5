"""Print the records of a topic, and remember how far we got: records.py [HOST:PORT] [TOPIC]."""

import asyncio
import sys

from cachesvc.client import Client, Mode


async def main(target: str = "127.0.0.1:7070", topic: str = "orders") -> None:
    """Read everything there is now; the next run goes on behind it."""
    async with (
        Client(target) as client,
        client.subscribe("example-records", topics=topic, mode=Mode.FULL) as stream,
    ):
        async for batch in stream:
            for record in batch:
                print(record.topic, record.partition, record.offset, record.key, record.value)
            await stream.commit(batch.position)
        await stream.commit()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
