#!/usr/bin/env python3
"""Move a subscription, looking before and after: where it stands, and where it stands then.

    reset_subscription.py billing --to 2026-01-31T12:00:00Z
    reset_subscription.py billing --to earliest --forget-full-sync --yes

Without --to its positions are dropped, and its next stream starts as its mode says. It asks before
it does anything, unless --yes is given; where nobody can be asked, that is needed. A task that
reads the subscription ends with SUBSCRIPTION_RESET.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from cachesvc.client import AtTimestamp, Earliest, Latest, Start, Subscription
from console import UNWELL, USAGE, WELL, ScriptFailed, parser, run, say, service, show


def place(text: str) -> Start:
    """What --to means."""
    if text in ("earliest", "latest"):
        return Earliest() if text == "earliest" else Latest()
    at = datetime.fromisoformat(text)
    return AtTimestamp(at if at.tzinfo else at.replace(tzinfo=UTC))


def rows(before: Subscription, after: Subscription | None = None) -> list[dict[str, object]]:
    """Positions by partition, and what became of them."""
    then = {p.position.key: p for p in after.partitions} if after is not None else {}
    now = {p.position.key: p for p in before.partitions}
    found: list[dict[str, object]] = []
    for key in sorted(now.keys() | then.keys()):
        old, new = now.get(key), then.get(key)
        moved = new.position.offset - old.position.offset if old and new else None
        found.append(
            {
                "topic": key[0],
                "partition": key[1],
                "before": old.position.offset if old else None,
                "behind_before": old.lag.records if old else None,
            }
        )
        if after is not None:
            found[-1] |= {
                "after": new.position.offset if new else None,
                "behind_after": new.lag.records if new else None,
                "moved": moved,
            }
    return found


async def main(options: argparse.Namespace) -> int:
    """Shows, asks, resets, shows."""
    async with service(options) as found:
        before = await found.client.get_subscription(options.subscription)
        if before.connected:
            say(f"a task reads {before.name} now; it will end")
        if not options.yes:
            if not sys.stdin.isatty():
                raise ScriptFailed("nobody can be asked here; give --yes", USAGE)
            show(rows(before), False, f"{before.name} has no positions")
            if await asyncio.to_thread(input, f"Reset {before.name}? [y/N] ") not in ("y", "yes"):
                say("nothing was changed")
                return UNWELL
        after = await found.client.reset_subscription(
            before.name, start=options.to, forget_full_sync=options.forget_full_sync
        )
    show(rows(before, after), options.json, f"{after.name} has no positions, before and after")
    return WELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("subscription")
    arguments.add_argument(
        "--to", type=place, metavar="START", help="earliest, latest, or a time (ISO 8601, UTC)"
    )
    arguments.add_argument(
        "--forget-full-sync", action="store_true", help="also forget that a full sync was done"
    )
    arguments.add_argument("--yes", action="store_true", help="do not ask")
    run(main, arguments.parse_args())
