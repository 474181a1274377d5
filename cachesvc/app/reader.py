"""A reader process."""

import asyncio

from cachesvc.descriptors import raise_descriptor_limit
from cachesvc.mining.reader import ReaderSettings
from cachesvc.mining.reader import run_reader as reader_process
from cachesvc.stop_signals import OF_PROCESS


def run_reader(settings: ReaderSettings) -> int:
    """Runs a reader process until it is told to end; returns the process's exit code.

    Raises:
        NotFound: The service has no such connection.
        PreconditionFailed: The service does not let it in, or speaks another protocol.
    """
    raise_descriptor_limit()
    asyncio.run(reader_process(settings, signals=OF_PROCESS))
    return 0
