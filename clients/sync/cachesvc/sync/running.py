"""Several tasks in one process, each within reach of the command line, none harming another."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from cachesvc.client import ClientError
from cachesvc.sync.control import listening
from cachesvc.sync.errors import SyncError, call_of
from cachesvc.sync.runner.progress import TaskStatus
from cachesvc.sync.state import StateDirectory
from cachesvc.sync.task import Task

_log = logging.getLogger("cachesvc.sync")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended.

    Attributes:
        status: As it is at the end.
        error: Why it has failed; None if it has not.
    """

    status: TaskStatus
    error: BaseException | None = None


async def run_tasks(tasks: Sequence[Task], state: StateDirectory) -> list[Ended]:
    """Runs tasks side by side until each has ended; one that has can be run again at once.

    Raises:
        AlreadyRuns: One of them runs in another process of this machine; none was started.
        InvalidTask: The state directory cannot be used; likewise.
    """
    with ExitStack() as every:
        held = [every.enter_context(ExitStack()) for _ in tasks]
        for task, lock in zip(tasks, held, strict=True):
            await asyncio.to_thread(lock.enter_context, state.held(task.config.name))
        runs = (_run(task, lock, state) for task, lock in zip(tasks, held, strict=True))
        return list(await asyncio.gather(*runs))


async def _run(task: Task, lock: ExitStack, state: StateDirectory) -> Ended:
    name, directory = task.config.name, state.path
    with lock:
        with suppress(OSError):
            await asyncio.to_thread(state.forget_end, name)
        ended = await _run_to_end(task, state)
        try:
            await asyncio.to_thread(state.note_end, ended.status)
        except OSError as error:
            _log.warning("task %s: how it ended is not kept in %s: %s", name, directory, error)
        return ended


async def _run_to_end(task: Task, state: StateDirectory) -> Ended:
    name = task.config.name
    error: BaseException | None = None
    async with listening(task, str(state.socket_of(name))), task:
        _log.info("task %s: started, mode %s", name, task.config.source.mode)
        try:
            await task.wait()
        except (SyncError, ClientError) as failure:
            error = failure
            of_call = call_of(failure)
            _log.error("task %s has failed: %s: %s%s", name, failure.reason, failure, of_call)
        except Exception as failure:
            error = failure
            _log.exception("task %s has failed in a way that nobody foresaw", name)
        status = task.status()
    if error is None:
        _log.info("task %s: %s after %d records", name, status.state, status.records)
    return Ended(status, error)
