"""Threads that have time."""

import contextlib
import os
import sys
import threading

_NICE = 10
"""A tenth of the weight that others have. Less would do no harm to the work, but to those who wait
for the interpreter's lock while this thread has it and does not get to run."""


def give_way() -> None:
    """Has the calling thread get less of the processor than others that want it.

    On Linux a nice value is a thread's own; elsewhere it is the process's, and nothing is done.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
