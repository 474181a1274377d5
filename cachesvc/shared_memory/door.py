"""Where neighbours come in: the listening socket, and connections that no stream has named yet."""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Iterable

from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.neighbours import Neighbour

_log = logging.getLogger(__name__)
TOKEN_BYTES = 16
NEIGHBOURS_MAX = 64
"""Streams that take records from shared memory at the same time; others get them in messages."""
_UNCLAIMED_MAX = 64
"""Connections of one user that no stream has named yet; beyond it the oldest are closed."""
_USERS_MAX = 4
_BACKLOG = 128
_PAUSE_S = 1.0
_PEER = struct.Struct("iII")


def socket_name(port: int) -> str:
    """Where the service on a port meets its neighbours; the name is part of its interface."""
    return f"\0cachesvc-shared-memory-{port}"


class Door:
    """Lets processes of this machine in. Belongs to one event loop.

    A Unix socket of the abstract namespace, whose name follows from the port that the service
    listens on, so that whoever reaches it at a loopback address finds it. Who comes is given
    nothing: only a stream that was granted, and names the token that came over a connection, has
    records handed over there.

    Args:
        blocks: What neighbours are lent of.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._listening: socket.socket | None = None
        self._unclaimed: dict[socket.socket, int] = {}
        self._named: dict[bytes, socket.socket] = {}
        self._neighbours: set[Neighbour] = set()

    @property
    def neighbours(self) -> Iterable[Neighbour]:
        """Those whose streams run, and those that have not given everything back."""
        return self._neighbours

    def open(self, port: int) -> None:
        """Listens; where that cannot be, nobody comes, and records go in messages."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            listening.bind(socket_name(port))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            _log.warning(
                "no shared memory for tasks of this machine: its socket cannot be had",
                extra={"event": "no_shared_memory", "port": port, "error": str(error)},
            )
            return
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening, self._let_in)

    def close(self) -> None:
        """Lets nobody in any more, and ends what is there; idempotent."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for connection in list(self._unclaimed):
            self._turn_away(connection)
        for neighbour in list(self._neighbours):
            neighbour.close()

    def claim(self, token: bytes) -> Neighbour | None:
        """The connection that a token came over, for the stream that names it; None without one."""
        running = sum(not neighbour.ended for neighbour in self._neighbours)
        if len(token) != TOKEN_BYTES or running >= NEIGHBOURS_MAX:
            return None
        self._let_in()  # it may have come a moment ago
        for each in list(self._unclaimed):
            self._listen_to(each)
        connection = self._named.pop(token, None)
        if connection is None:
            return None
        self._forget(connection)
        neighbour = Neighbour(connection, self._blocks, self._neighbours.discard)
        self._neighbours.add(neighbour)
        return neighbour

    def tell_gone(self) -> None:
        """Tells neighbours which blocks are no more.

        That is due at once: what they map takes memory that others are filled in already.
        """
        gone = self._blocks.gone()
        for neighbour in self._neighbours:
            neighbour.forget(gone)

    def _let_in(self) -> None:
        while self._listening is not None:
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError:  # no descriptor is free
                self._pause(self._listening)
                return
            connection.setblocking(False)
            user = _user_of(connection)
            self._make_room(user)
            self._unclaimed[connection] = user
            asyncio.get_running_loop().add_reader(connection, self._listen_to, connection)

    def _pause(self, listening: socket.socket) -> None:
        """Does not listen for a while; who waits would wake the loop all the time."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_S, self._listen_again, listening)

    def _listen_again(self, listening: socket.socket) -> None:
        if listening is self._listening:
            asyncio.get_running_loop().add_reader(listening, self._let_in)

    def _make_room(self, user: int) -> None:
        """Turns away who has said nothing that was of use, the oldest first."""
        same = [each for each, of in self._unclaimed.items() if of == user]
        if len(same) >= _UNCLAIMED_MAX:
            self._turn_away(same[0])
        elif len(self._unclaimed) >= _UNCLAIMED_MAX * _USERS_MAX:
            self._turn_away(next(iter(self._unclaimed)))

    def _listen_to(self, connection: socket.socket) -> None:
        try:
            token = connection.recv(TOKEN_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            token = b""
        if len(token) != TOKEN_BYTES or connection in self._named.values() or token in self._named:
            self._turn_away(connection)
            return
        self._named[token] = connection

    def _turn_away(self, connection: socket.socket) -> None:
        self._forget(connection)
        for token in [token for token, of in self._named.items() if of is connection]:
            del self._named[token]
        with contextlib.suppress(OSError):
            connection.close()

    def _forget(self, connection: socket.socket) -> None:
        del self._unclaimed[connection]
        asyncio.get_running_loop().remove_reader(connection)


def _user_of(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(data)
    return int(user)
