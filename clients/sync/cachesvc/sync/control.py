"""Reaching a running task: one line of JSON each way over a socket of its own."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec

from cachesvc.sync.errors import SyncError
from cachesvc.sync.runner.progress import TaskStatus
from cachesvc.sync.task import Task

_TIMEOUT_S = 10.0
_LINE_BYTES_MAX = 1 << 20

Command = Literal["status", "pause", "resume", "stop"]


class Order(msgspec.Struct, frozen=True):
    """What a task is asked to do; it answers with its status afterwards."""

    command: Command


class NotRunning(SyncError):
    """Nobody listens where the task would."""

    default_reason = "NOT_RUNNING"


@asynccontextmanager
async def listening(task: Task, path: str) -> AsyncIterator[None]:
    """Lets a task be reached at a socket, which only its user may use.

    Whoever calls this holds the task's lock: a socket that is there is of a process that died.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    server = await asyncio.start_unix_server(
        lambda reader, writer: _answer(task, reader, writer), sock=listener, limit=_LINE_BYTES_MAX
    )
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def ask(path: Path, command: Command, timeout_s: float = _TIMEOUT_S) -> TaskStatus:
    """Asks a running task; blocks.

    Raises:
        NotRunning: There is none, or it does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(timeout_s)
        try:
            try:
                caller.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                told = "no such task runs here; `cachesvc-sync status` shows those that do"
                raise NotRunning(told) from error
            caller.sendall(msgspec.json.encode(Order(command)) + b"\n")
            with caller.makefile("rb") as answers:
                return msgspec.json.decode(answers.readline(_LINE_BYTES_MAX), type=TaskStatus)
        except (OSError, msgspec.DecodeError) as error:
            raise NotRunning(f"the task does not answer: {error}") from error


async def _answer(task: Task, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            order = msgspec.json.decode(await reader.readline(), type=Order)
            match order.command:
                case "pause":
                    task.pause()
                case "resume":
                    task.resume()
                case "stop":
                    task.ask_to_stop()
                case _:
                    pass
            writer.write(msgspec.json.encode(task.status()) + b"\n")
            await writer.drain()
    except (OSError, ValueError, TimeoutError, msgspec.DecodeError):
        pass  # whoever asked gets no answer, and says so
    finally:
        writer.close()
