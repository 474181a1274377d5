"""``python -m cachesvc`` and the console script ``cachesvc``."""

import importlib
import sys

from cachesvc import starting
from cachesvc.stop_signals import OF_PROCESS

_ENDS_CLEANLY = ("serve", "reader")
_WITH_ARROW = (*_ENDS_CLEANLY, "sql", "tail")


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
    starting.begin()
    try:
        if sys.argv[1:2] and sys.argv[1] in _WITH_ARROW:
            importlib.import_module("cachesvc.arrow_alone").keep_pandas_out()
        importlib.import_module("cachesvc.cli.main").main()
    finally:
        starting.ended()


if __name__ == "__main__":
    main()
