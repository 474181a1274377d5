"""``python -m cachesvc`` and the console script ``cachesvc``."""

import importlib
import sys

from cachesvc.stop_signals import OF_PROCESS

_ENDS_CLEANLY = ("serve", "reader")


def main() -> None:
    """Runs the command that the process was started with, and ends the process.

    A command that a signal ends cleanly is told so by its name, before anything else is imported:
    else a signal at the start would kill it.
    """
    if sys.argv[1:2] and sys.argv[1] in _ENDS_CLEANLY:
        OF_PROCESS.take()
        try:
            _run()
        finally:
            OF_PROCESS.ignore()
    else:
        _run()


def _run() -> None:
    importlib.import_module("cachesvc.cli.main").main()


if __name__ == "__main__":
    main()
