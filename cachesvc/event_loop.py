"""The event loop of a service: asyncio's, which wakes once for all that gRPC has.

gRPC's thread puts each event into a queue and writes a byte to a socket; the loop's callback takes
all events that are there, and one byte. Where a round of the loop has several events bytes pile up,
and once the socket is full (278 bytes on Linux) the thread waits in its write: from then on a round
gets one event, whatever it is. Of hundreds of streams that are sent all they can take, each has a
write in that line, and a call that begins, a commit and the next message of whoever was sent least
wait at each step until all of them have had a message. A thread that waits there has also kept
processes from ending.

So the bytes that wait are taken before the callback, all but the one that it takes itself. No event
is missed: each is in the queue before its byte is written.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVarTuple

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

_Args = TypeVarTuple("_Args")
_BYTES_MAX = 4_096
_GRPC = "grpc."


class ServiceLoop(asyncio.SelectorEventLoop):
    """As ``asyncio.run`` makes one; give it to ``asyncio.Runner``."""

    def add_reader(
        self, fd: "FileDescriptorLike", callback: Callable[[*_Args], Any], *args: *_Args
    ) -> None:
        """Has a callback run when ``fd`` can be read; gRPC's with one byte to read."""
        if isinstance(fd, socket.socket) and _is_of_grpc(callback):
            super().add_reader(fd, _with_one_byte, fd, partial(callback, *args))
        else:
            super().add_reader(fd, callback, *args)


def _is_of_grpc(callback: Callable[..., Any]) -> bool:
    """Whether it is a method of an object of gRPC's, with or without arguments."""
    method = callback.func if isinstance(callback, partial) else callback
    return type(getattr(method, "__self__", None)).__module__.startswith(_GRPC)


def _with_one_byte(waking: socket.socket, callback: Callable[[], Any]) -> None:
    try:
        waiting = len(waking.recv(_BYTES_MAX, socket.MSG_PEEK))
        if waiting > 1:
            waking.recv(waiting - 1)
    except BlockingIOError:
        return  # another loop of the process has taken them, and what they were for
    callback()
