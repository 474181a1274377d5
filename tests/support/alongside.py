"""What tests of random kills share: work beside them, and chance that can be repeated."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def alongside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Has work done in a thread until it is left, which its event tells it.

    Raises:
        BaseException: What the work failed with, unless something else has failed before.
    """
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def seeded() -> random.Random:
    """Chance; its seed is printed, and so stands in the report of a test that fails.

    CACHESVC_SEED has the same things happen in the same order again.
    """
    seed = int(os.environ.get("CACHESVC_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    return random.Random(seed)
