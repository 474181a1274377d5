"""What tests of the Kafka sink do and ask: writing, checking, what a consumer gets."""

import asyncio
from collections.abc import Callable
from typing import Any

from cachesvc.client import Positions
from cachesvc.sync import (
    Check,
    Delivery,
)
from tests.support.deliveries import (
    kafka_sink,
    open_when_possible,
)
from tests.support.reading import await_decided
from tests.support.topics import (
    read_all,
)

Name = Callable[[str], str]


def write(bootstrap: str, *deliveries: Delivery, **settings: Any) -> Positions | None:
    """Writes deliveries by one sink; what it said when it was opened."""

    async def run() -> Positions | None:
        sink = kafka_sink(bootstrap, **settings)
        try:
            positions = await open_when_possible(sink)
            for each in deliveries:
                await sink.write(each)
            return positions
        finally:
            await sink.close()

    return asyncio.run(run())


def values(bootstrap: str, topic: str) -> dict[int, list[bytes | None]]:
    """What whoever reads committed records gets."""
    await_decided(bootstrap, topic)
    return {n: [record.value for record in each] for n, each in read_all(bootstrap, topic).items()}


def expected(*ranges: tuple[int, int]) -> list[bytes]:
    """The values of counted rows."""
    return [b'{"n":%d}' % n for begin, end in ranges for n in range(begin, end)]


def checked(bootstrap: str, **settings: Any) -> dict[str, Check]:
    """What trying a target says, by name; what failed has a hint."""
    sink = kafka_sink(bootstrap, **settings)
    found = {check.name: check for check in asyncio.run(sink.check())}
    assert all(check.hint for check in found.values() if not check.passed)
    return found
