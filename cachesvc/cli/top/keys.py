"""Keys, one at a time and at once."""

import os
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[5~": "pageup",
    "\x1b[6~": "pagedown",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[Z": "backtab",
    "\x1b": "escape",
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}
_LONGEST = max(map(len, _NAMES))
_READ_BYTES = 1024


@contextmanager
def unbuffered(descriptor: int) -> Iterator[None]:
    """Has a terminal hand on each key as it is pressed, and not show it."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read_keys(descriptor: int, timeout_s: float) -> list[str]:
    """The keys that were pressed, waiting that long for the first; none where there was none.

    Raises:
        EOFError: The terminal is gone.
    """
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    if not ready:
        return []
    data = os.read(descriptor, _READ_BYTES)
    if not data:
        raise EOFError
    return list(keys_of(data.decode(errors="replace")))


def keys_of(text: str) -> Iterator[str]:
    """The keys that a terminal means by what it sends: characters, or names for what is none."""
    while text:
        length = next((n for n in range(_LONGEST, 0, -1) if text[:n] in _NAMES), 1)
        yield _NAMES.get(text[:length], text[:1])
        text = text[length:]
