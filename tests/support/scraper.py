"""Scrapes at a steady rate, in a process of its own; prints what came of it as JSON.

``python -m tests.support.scraper URL RATE SECONDS``
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import httpx

_CONNECTIONS = 20


@dataclass(slots=True)
class Scrapes:
    """How many were answered, and after how many milliseconds; and what the others failed of."""

    took_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def scrape(url: str, rate: float, seconds: float) -> Scrapes:
    """Scrapes; each at its time, whatever became of the one before."""
    found = Scrapes()
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client, asyncio.TaskGroup() as tasks:

        async def one() -> None:
            began_s = time.monotonic()
            try:
                (await client.get(url)).raise_for_status()
            except httpx.HTTPError as error:
                found.failures.append(repr(error))
            else:
                found.took_ms.append((time.monotonic() - began_s) * 1000)

        begin_s = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(begin_s + number / rate - time.monotonic())
            tasks.create_task(one())
    return found


if __name__ == "__main__":
    url, rate, seconds = sys.argv[1:]
    print(json.dumps(asdict(asyncio.run(scrape(url, float(rate), float(seconds))))))
