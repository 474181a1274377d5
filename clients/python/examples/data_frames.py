"""Count operations per minute with pandas and with Polars: data_frames.py [HOST:PORT] [TOPIC]."""

import asyncio
import sys

import polars as pl

from cachesvc.client import Client, Mode


async def main(target: str = "127.0.0.1:7070", topic: str = "orders") -> None:
    """Each batch is a table of offset, timestamp, timestamp_type, key, value and headers."""
    async with (
        Client(target) as client,
        client.subscribe("example-frames", topics=topic, mode=Mode.FULL) as stream,
    ):
        async for batch in stream:
            frame = batch.to_polars().with_columns(
                op=pl.col("value").str.json_path_match("$.op"),
                minute=pl.col("timestamp").dt.truncate("1m"),
            )
            print(frame.group_by("minute", "op").len())
            print(batch.to_pandas().groupby("timestamp_type")["offset"].agg(["min", "max"]))
            await stream.commit(batch.position)
        await stream.commit()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
