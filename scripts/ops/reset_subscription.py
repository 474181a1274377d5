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

from cachesvc.client import AtTimestamp, Earliest, Latest, Start
from console import UNWELL, USAGE, WELL, ScriptFailed, parser, run, say, service, show, time_of
from moves import rows


def place(text: str) -> Start:
    """What --to means."""
    named: dict[str, Start] = {"earliest": Earliest(), "latest": Latest()}
    return named.get(text) or AtTimestamp(time_of(text))


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
