"""Shows what cachesvc is for: `scripts/demo`."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.demo.failure import DemoError
from tests.demo.options import Options, parse
from tests.demo.outcome import Outcome
from tests.demo.run import Run
from tests.demo.screen import Screen, counted
from tests.demo.service import format_address
from tests.demo.summary import print_summary

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupted(Exception):
    """A signal has ended the run; everything is stopped."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}; everything is stopped")
        self.exit_code = 128 + number


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code."""
    options = parse(arguments)
    logging.disable()  # what goes wrong is told as one message
    console = Console(stderr=options.as_json)
    directory = Path(tempfile.mkdtemp(prefix="cachesvc-demo-"))
    store = options.store or directory / "store"
    kept = store if options.keep or options.store else None
    console.print(_introduction(options), highlight=False, markup=False)
    try:
        with Screen(console) as screen:
            outcome = asyncio.run(_execute(Run(options, directory, store, screen)))
        if options.as_json:
            print(json.dumps(outcome.to_json(kept), indent=2))
        else:
            print_summary(console, outcome, options, kept)
        return 0 if outcome.equal else 1
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except _Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.exit_code
    finally:
        if options.keep:
            print(f"store and logs stay in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _introduction(options: Options) -> str:
    tasks = counted(options.tasks, "sync task")
    if options.kafka is None:
        return f"Starting a Kafka stand-in, the service with its reader, and {tasks}."
    kafka = format_address(options.kafka)
    return f"Starting the service with its reader on {kafka}, and {tasks}."


async def _execute(run: Run) -> Outcome:
    """Runs it, and ends it in good order at the first signal; later ones change nothing.

    Raises:
        _Interrupted: There was a signal.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(run.execute())
    caught: list[int] = []

    def interrupt(number: int) -> None:
        if not caught:
            running.cancel()
        caught.append(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await running
    except asyncio.CancelledError:
        if caught:
            raise _Interrupted(caught[0]) from None
        raise


if __name__ == "__main__":
    sys.exit(main())
