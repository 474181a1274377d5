"""What goes wrong with records of one partition, apart from what concerns a whole reader."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cachesvc.errors import CacheError
from cachesvc.policy.blocking import Blockage, BlockReason

_DETAIL_LENGTH_MAX = 300
_T = TypeVar("_T")


class WorkFailed(Exception):
    """Decoding or encoding failed; ``error`` says of what, which may be anything."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def in_thread(
    thread: ThreadPoolExecutor, work: Callable[..., _T], *arguments: Any
) -> "asyncio.Task[_T]":
    """Work on records beside the event loop.

    Raises:
        WorkFailed: From the task: the work raised something.
    """

    async def run() -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(thread, work, *arguments)
        except Exception as error:
            raise WorkFailed(error) from error

    return asyncio.ensure_future(run())


def reason_of(error: Exception) -> str:
    """The word for what went wrong."""
    if _out_of_memory(error):
        return BlockReason.OUT_OF_MEMORY.value
    return error.reason if isinstance(error, CacheError) else BlockReason.UNDECODABLE.value


def blockage_of(error: Exception, offset: int, size: int) -> Blockage:
    """What a partition stops at whose records at ``offset`` cannot be decoded or encoded."""
    reason = BlockReason.OUT_OF_MEMORY if _out_of_memory(error) else BlockReason.UNDECODABLE
    text = str(error) or type(error).__name__
    if isinstance(error, CacheError):
        text = f"{error.reason}: {text}"
    return Blockage(reason, offset, size, text[:_DETAIL_LENGTH_MAX])


def _out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__
    return False
