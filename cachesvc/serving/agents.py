"""Readers on other machines: a listener of their own, and who is let in.

The public listener has no Mining calls for them, and this one has nothing else. What is let in
mines for the service, so whoever is not on this machine shows a token, over TLS.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc

from cachesvc.errors import InvalidConfig, PreconditionFailed
from cachesvc.serving.call_counting import CallCounting
from cachesvc.serving.naming_calls import NamingCalls
from cachesvc.serving.server import OPTIONS, bind_address
from cachesvc.v1 import mining_pb2_grpc
from cachesvc.watching.calls import Calls

Context = grpc.aio.ServicerContext[Any, Any]
Admission = Callable[[Context], str]
"""Lets a caller in, and says on which host it is: empty for this machine. Raises if it does not."""

_TOKEN_LENGTH_MIN = 16
_HEADER = "authorization"


def local_only(context: Context) -> str:
    """Admits processes on this machine, by the store's Unix socket.

    Raises:
        PreconditionFailed: It is another caller (``MINING_LOCAL_ONLY``).
    """
    if not context.peer().startswith("unix:"):
        raise PreconditionFailed(
            "readers join on the store's Unix socket, or where mining.listen says",
            reason="MINING_LOCAL_ONLY",
        )
    return ""


class TokenHolders:
    """Admits who shows the token; everybody if there is none."""

    def __init__(self, token: str | None) -> None:
        self._digest = None if token is None else _digest(f"Bearer {token}")

    def __call__(self, context: Context) -> str:
        if self._digest is not None:
            shown = dict(context.invocation_metadata() or ()).get(_HEADER, "")
            if not hmac.compare_digest(_digest(shown), self._digest):
                raise PreconditionFailed(
                    "the reader does not show the join token; start it with --token-env",
                    reason="JOIN_TOKEN_WRONG",
                )
        return _host(context.peer())


class AgentServer:
    """A gRPC server for readers alone.

    Args:
        address: HOST:PORT.
        tls: What is shown to them; None for plain text.
        mining: Answers them.
        calls: Counts calls.
    """

    def __init__(
        self,
        address: str,
        tls: grpc.ServerCredentials | None,
        mining: mining_pb2_grpc.MiningServicer,
        calls: Calls,
    ) -> None:
        self._address = address
        self._tls = tls
        around = [NamingCalls(), CallCounting(calls)]
        self._server = grpc.aio.server(interceptors=around, options=OPTIONS)
        mining_pb2_grpc.add_MiningServicer_to_server(mining, self._server)

    def bind(self) -> int:
        """Takes the address; returns the port.

        Raises:
            PreconditionFailed: The address is in use or cannot be bound.
        """
        return bind_address(self._server, self._address, self._tls, "mining.listen")

    async def start(self) -> None:
        """Serves."""
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Ends: no new calls, at most ``grace_s`` for those under way."""
        await self._server.stop(grace_s)


def read_join_token(
    variable: str | None, file: str | None, environment: Mapping[str, str]
) -> str | None:
    """The token that readers of other machines have to show; None where none is configured.

    Raises:
        InvalidConfig: It is not where the configuration says, or too short. No message shows it.
    """
    if variable is not None:
        token, where = environment.get(variable, ""), f"environment variable {variable}"
    elif file is not None:
        where = file
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise InvalidConfig(
                f"mining.join_token_file: {file} cannot be read; name a text file that this user "
                "may read",
                metadata={"field": "mining.join_token_file"},
            ) from error
    else:
        return None
    if len(token) < _TOKEN_LENGTH_MIN or not (token.isascii() and token.isprintable()):
        raise InvalidConfig(
            f"{where} has no join token of at least {_TOKEN_LENGTH_MIN} printable ASCII "
            "characters; put a random one there"
        )
    return token


def _digest(text: str | bytes) -> bytes:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).digest()


def _host(peer: str) -> str:
    """``ipv4:10.0.0.7:4711`` as ``10.0.0.7``."""
    _, _, address = peer.partition(":")
    return unquote(address).rpartition(":")[0].strip("[]") or peer
