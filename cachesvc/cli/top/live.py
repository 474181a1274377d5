"""The terminal while ``top`` runs, and the thread that asks the service."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from rich.console import Console, Group
from rich.live import Live

from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.options import Common
from cachesvc.cli.service import Service
from cachesvc.cli.top.display import QUIT, Display, press
from cachesvc.cli.top.drawing import frame, page_of
from cachesvc.cli.top.figures import Figures
from cachesvc.cli.top.keys import read_keys, unbuffered
from cachesvc.cli.top.sample import Sample, rest_s, take

_TICK_S = 0.1
_END_S = 2.0


@dataclass(frozen=True, slots=True)
class News:
    """What is known: figures, and why there are no newer ones."""

    figures: Figures
    trouble: str = ""


class Asking:
    """Asks a service again and again in a thread, and tries again where it is away.

    Args:
        settings: Where the service is, and who asks.
        connection: The one that is asked about; empty for all.
        first: What it said at first.
        interval_s: How long to wait between an answer and the next question.
    """

    def __init__(self, settings: Common, connection: str, first: Sample, interval_s: float) -> None:
        self._settings = settings
        self._connection = connection
        self.interval_s = interval_s
        self.news = News(Figures(first))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                with Service(self._settings) as service:
                    self._ask(service)
            except CommandFailed as error:
                self.news = News(self.news.figures, f"trying again: {error}")
            self._ending.wait(self.interval_s)

    def _ask(self, service: Service) -> None:
        while not self._ending.wait(rest_s(self.news.figures.now, self.interval_s)):
            known = self.news.figures
            sample = take(service, self._connection, known.trend_since_ms)
            self.news = News(known.followed_by(sample))


def run_live(settings: Common, connection: str, first: Sample, display: Display) -> None:
    """Shows a service until somebody presses q or Ctrl-C."""
    console, keyboard = Console(highlight=False), sys.stdin.fileno()
    with (
        suppress(KeyboardInterrupt, EOFError),
        _unwinding(),
        Asking(settings, connection, first, display.interval_s) as asking,
        unbuffered(keyboard),
        Live(console=console, screen=True, auto_refresh=False) as screen,
    ):
        _show(settings.address, display, asking, screen)


def _show(address: str, display: Display, asking: Asking, screen: Live) -> None:
    """Draws what is new and does what keys say, until one of them is the end."""
    keyboard = sys.stdin.fileno()
    shown: tuple[object, ...] = ()
    news = asking.news
    while True:
        if not display.paused:
            news = asking.news
        size = screen.console.size.width, screen.console.size.height
        if (news, display, size) != shown:
            lines = frame(news.figures, display, address, news.trouble, size)
            screen.update(Group(*lines), refresh=True)
            shown = (news, display, size)
        for key in read_keys(keyboard, _TICK_S):
            page, total = page_of(news.figures, display, news.trouble, size[1])
            after = press(display, key, page, total)
            if after is QUIT:
                return
            display = after
            asking.interval_s = display.interval_s


@contextmanager
def _unwinding() -> Iterator[None]:
    """Has the terminal put back before a signal ends the process."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _end) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def is_interactive() -> bool:
    """Whether there is a terminal to draw on and to take keys from."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return terminal and os.environ.get("TERM", "dumb") != "dumb"


def first_sample(settings: Common, connection: str) -> Sample:
    """What a service says now.

    Raises:
        CommandFailed: It is away, or does not answer.
    """
    with Service(settings) as service:
        return take(service, connection)
