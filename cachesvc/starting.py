"""A start without what only costs time.

Modules, and what a process makes of its settings and its store, stay for its life. Left alone, the
collector goes through all of it again and again while it comes: a tenth of the CPU time of a start.
And ever after, whenever what is new has grown to a quarter of it: 50 ms in which nothing else
happens.

numpy comes with a library for matrices, which makes a thread for each core as soon as it is loaded.
Nothing here multiplies any.
"""

import gc
import os

_THREADS_OF_NUMPY = "OPENBLAS_NUM_THREADS"


def begin() -> None:
    """Nothing is collected from here to the first ``settled``. First thing in a process."""
    gc.disable()
    os.environ.setdefault(_THREADS_OF_NUMPY, "1")


def settled() -> None:
    """What is there by now is never looked at again; what comes from here on is collected.

    Does nothing where nobody began, so that a command within another program leaves that alone.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def keep() -> None:
    """What is there by now stays for the life of the process, and is never looked at again."""
    gc.freeze()


def ended() -> None:
    """Lets the interpreter take down what was kept. Last thing in a process.

    Else libraries that watch over their objects, as DuckDB's, say on stderr that some have leaked.
    """
    gc.unfreeze()
    gc.disable()  # it collects once more by itself, with no names left
