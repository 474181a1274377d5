"""A full sync into a sink of one's own: own_sink.py ADDRESS TOPIC."""

import asyncio
import sys
from collections.abc import Sequence

from cachesvc.sync import Check, Delivery, run_task


class Printing:
    """Prints keys and values."""

    async def open(self) -> None:
        """Has nothing to open, and keeps no positions."""

    async def write(self, delivery: Delivery) -> None:
        for changes in delivery.changes:
            keys, values = changes.rows.column("key"), changes.rows.column("value")
            for key, value in zip(keys.to_pylist(), values.to_pylist(), strict=True):
                print(key, value)

    async def check(self) -> Sequence[Check]:
        return []

    async def close(self) -> None:
        """Has nothing to close."""


def main() -> None:
    """Runs the task until the topic's end as it is now."""
    source = {"service": sys.argv[1], "topics": [sys.argv[2]], "mode": "FULL"}
    asyncio.run(run_task({"name": "printing", "source": source}, sink=Printing()))


if __name__ == "__main__":
    main()
