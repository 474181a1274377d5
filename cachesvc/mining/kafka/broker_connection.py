"""One connection to one broker, patient as long as something comes."""

import asyncio
import struct
import time
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.api import Request

from cachesvc.mining.kafka.kerberos import MECHANISM, KerberosLogin

# An answer that comes more slowly than this on the whole is given up, though it does come.
_SLOWEST_BYTES_PER_S = 1 << 10
_SIZE = struct.Struct(">i")


@runtime_checkable
class InPieces(Protocol):
    """A request whose body is sent as it is, without being put together first.

    Its ``build`` makes one without what is large in it, for its header and its response.
    """

    def pieces(self) -> Iterable[bytes]:
        """The body; the same in every version that ``build`` knows."""


class BrokerConnection(AIOKafkaConnection):
    """A connection that limits how long a broker says nothing, instead of whole answers.

    So an answer takes as long as it takes on a slow link, and nothing that is on its way is thrown
    away. A broker that throttles answers at once, says for how long it will not read from this
    connection (KIP-219), and is not asked before.

    It logs in by Kerberos with credentials of its own: aiokafka would use those that the process
    has by default, and it may hold several.

    Args:
        login: By Kerberos; None for what the other settings say.
    """

    def __init__(self, *args: Any, login: KerberosLogin | None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._request_timeout: float | None
        self._heard_s = 0.0
        self._heard_bytes = 0
        self._muted_until_s = 0.0
        self._login = login
        if login is not None:
            self._sasl_mechanism = MECHANISM

    def authenticator_gssapi(self) -> KerberosLogin:
        assert self._login is not None, "the mechanism says so"
        return self._login

    async def connect(self) -> Any:
        """Connects and signs in, and takes note of everything that comes from then on."""
        streams = await super().connect()
        feed = self._reader.feed_data

        def heard(data: bytes) -> None:
            self._heard_s = time.monotonic()
            self._heard_bytes += len(data)
            feed(data)

        self._reader.feed_data = heard
        return streams

    @property
    def muted_s(self) -> float:
        """For how long the broker will not read from this connection."""
        return max(0.0, self._muted_until_s - time.monotonic())

    async def ask(self, request: Request[Any], silence_s: float) -> Any:
        """The answer to a request.

        Waits before it sends while the broker does not read. Calls may overlap, and are answered in
        their order.

        Args:
            request: What to ask.
            silence_s: How long the broker may say nothing.

        Raises:
            TimeoutError: It said nothing for so long.
            KafkaError: As for aiokafka's ``send``.
        """
        await asyncio.sleep(self.muted_s)
        answer = await self._patiently(request, silence_s)
        throttle_s = max(0, getattr(answer, "throttle_time_ms", 0)) / 1000
        self._muted_until_s = time.monotonic() + throttle_s
        return answer

    def send(self, request: Request[Any], expect_response: bool = True) -> Any:
        """As aiokafka's, which copies a request several times on its way, but for pieces."""
        if isinstance(request, InPieces):
            return self._send_pieces(request, request.pieces(), expect_response)
        return super().send(request, expect_response)

    def _send_pieces(self, request: Any, body: Iterable[bytes], expect_response: bool) -> Any:
        if self._writer is None:
            raise KafkaConnectionError(f"no connection to {self._host}:{self._port}")
        empty = request.prepare(self._versions)
        number = self._next_correlation_id()
        header = empty.build_request_header(correlation_id=number, client_id=self._client_id)
        pieces = [header.encode(), *body]
        self._writer.write(_SIZE.pack(sum(map(len, pieces))))
        for piece in pieces:
            self._writer.write(piece)
        if not expect_response:
            return self._writer.drain()
        answer = asyncio.get_running_loop().create_future()
        self._requests.append((number, empty, answer))
        return asyncio.wait_for(answer, self._request_timeout)

    async def tell(self, request: Request[Any], silence_s: float) -> None:
        """Hands a request that has no answer to the system; waits while the broker takes nothing.

        Raises:
            TimeoutError: It took nothing for so long.
            KafkaError: As for aiokafka's ``send``.
        """
        async with asyncio.timeout(silence_s):
            await self.send(request, expect_response=False)

    async def _patiently(self, request: Request[Any], silence_s: float) -> Any:
        began_s = self._heard_s = time.monotonic()
        before_bytes = self._heard_bytes
        # ``send`` puts this limit on what it returns.
        limit_s: float | None = self._request_timeout
        self._request_timeout = None
        try:
            answering = asyncio.ensure_future(self.send(request))
        finally:
            self._request_timeout = limit_s
        try:
            while not answering.done():
                earned_s = (self._heard_bytes - before_bytes) / _SLOWEST_BYTES_PER_S
                heard_s = max(min(self._heard_s, began_s + earned_s), self._muted_until_s)
                left_s = heard_s + silence_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError(f"the broker said nothing for {silence_s:g} s")
                await asyncio.wait({answering}, timeout=left_s)
            return answering.result()
        finally:
            answering.cancel()
