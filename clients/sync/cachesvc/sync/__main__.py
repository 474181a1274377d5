"""``python -m cachesvc.sync`` and the console script ``cachesvc-sync``."""

import gc
import importlib
import sys
from types import ModuleType

from cachesvc.sync.stop_signals import OF_PROCESS

_INTERRUPTED = 130


def main() -> None:
    """Runs the command that the process was started with, and ends the process.

    ``run`` ends cleanly at a signal; that begins before anything else is imported.
    """
    ends_cleanly = sys.argv[1:2] == ["run"]
    if ends_cleanly:
        OF_PROCESS.take()
    try:
        _commands().app(prog_name="cachesvc-sync")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    finally:
        if ends_cleanly:
            OF_PROCESS.ignore()


def _commands() -> ModuleType:
    """Imports them. As they stay, the collector looks at them neither meanwhile nor ever after."""
    gc.disable()
    found = importlib.import_module("cachesvc.sync.cli.main")
    gc.freeze()
    gc.enable()
    return found


if __name__ == "__main__":
    main()
