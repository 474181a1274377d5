"""The connection behind a stream: keeps it, and holds a few events ready.

One task reads from the service into a bounded buffer. Only that task touches the call, so what
the caller does to its own waits (a timeout, say) never costs the connection. When the connection
is lost, the task makes a new one that goes on where the old one got to.
"""

import asyncio
import logging
import time
from random import Random

import msgspec

from cachesvc.client import incoming, wire
from cachesvc.client.backoff import Backoff
from cachesvc.client.errors import (
    AccessDenied,
    DataLoss,
    NotFound,
    ServiceFault,
    StreamClosed,
    SubscriptionDeleted,
    SubscriptionTakenOver,
    Superseded,
    Unavailable,
)
from cachesvc.client.events import Ended, Event, Gap, Started
from cachesvc.client.ledger import Ledger
from cachesvc.client.payload import LentPayload
from cachesvc.client.rpc import Service, StreamCall
from cachesvc.client.settings import Sharing, Subscribe
from cachesvc.client.shared_memory import SharedMemory
from cachesvc.v1 import log_cache_pb2 as pb

_log = logging.getLogger("cachesvc.client")


class Feed:
    """Events of one subscription, over as many connections as it takes.

    Args:
        service: Where to connect.
        request: What to ask for.
        ledger: Takes note of what is received.

    Attributes:
        started: How the newest connection began; None before the first.
    """

    def __init__(self, service: Service, request: Subscribe, ledger: Ledger) -> None:
        self._service = service
        self._asked = request
        self._ledger = ledger
        settings = request.settings
        self._backoff = Backoff(
            settings.reconnect_delay_first_s,
            settings.reconnect_delay_max_s,
            settings.give_up_after_s,
            Random(),
        )
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(settings.batches_buffered_max)
        self._gaps: list[Gap] = []
        self._settled = asyncio.Event()
        self._failure: Exception | None = None
        self._finished = False
        self._unanswered = False
        self._without_memory = False
        self._task: asyncio.Task[None] | None = None
        self.started: Started | None = None

    async def open(self) -> None:
        """Starts reading; returns when the service has accepted the subscriber.

        Raises:
            ClientError: It has not; ``Unavailable`` after trying for as long as the settings say.
        """
        self._task = asyncio.create_task(self._run(), name="cachesvc-feed")
        try:
            await self._settled.wait()
            if self.started is None and self._failure is not None:
                raise self._failure
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the connection and the task, and wakes whoever waits; idempotent."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        # It was cancelled in a method of this, so each keeps the other. Until the garbage collector
        # came, buffers and connection would stay.
        self._task = None
        if not self._finished:
            self._finish(StreamClosed("the stream was closed"))
            if self._events.empty():
                self._events.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None when the stream is complete. Cancel-safe.

        Raises:
            ClientError: The stream has failed, and what was buffered before has been given;
                ``Superseded`` comes at once.
        """
        if isinstance(self._failure, Superseded):
            raise self._failure
        # The mark of the end may have been taken already, by a wait before this one.
        over = self._finished and self._events.empty()
        event = None if over else await self._events.get()
        if event is None and self._failure is not None:
            raise self._failure
        return event

    async def current_epoch(self) -> int:
        """The epoch to commit with; waits while there is no connection.

        Raises:
            Superseded: The subscription belongs to somebody else now.
        """
        await self._settled.wait()
        if isinstance(self._failure, Superseded):
            raise self._failure
        return self.started.epoch if self.started is not None else 0

    async def _run(self) -> None:
        try:
            await self._stay_connected()
        except Exception as failure:  # raised where the caller waits
            self._finish(failure)
        else:
            self._finish(None)
        await self._events.put(None)

    def _finish(self, failure: Exception | None) -> None:
        self._failure = failure
        self._finished = True
        self._settled.set()

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect_and_read()
            except Unavailable as failure:
                report = _log.warning if self._backoff.is_first else _log.info
                wait_s = self._backoff.failed(time.monotonic())
                if wait_s is None:
                    raise
                wait_s = max(wait_s, failure.retry_after_s)
                report(
                    "no connection for subscription %s (%s: %s, request %s); next in %.1f s",
                    self._asked.subscription,
                    failure.reason,
                    str(failure),  # who keeps what is logged keeps nothing that was received
                    failure.request_id or "none",
                    wait_s,
                )
                await asyncio.sleep(wait_s)
            else:
                return

    async def _connect_and_read(self) -> None:
        """One connection, from its first event to the end of the stream.

        Raises:
            Unavailable: The connection was lost, or was not to be had.
            ClientError: The stream has failed for good.
        """
        await self._check_not_superseded()
        memory = self._reach_memory()
        call = self._service.subscribe(self._request(memory))
        self._unanswered = True
        try:
            while (data := await self._read(call)) is not None:
                for received in incoming.received(data):
                    # Under no name: a batch that nobody else has any more is to be let go of.
                    if await self._pass_on(await self._taken(received, memory)):
                        return
        except DataLoss as failure:
            failure.gaps = tuple(self._gaps)
            raise
        finally:
            self._settled.clear()
            call.cancel()
            if memory is not None:
                memory.close()
        raise Unavailable("the service ended the stream before it was complete")

    def _reach_memory(self) -> SharedMemory | None:
        asked = self._asked
        without, self._without_memory = self._without_memory, False
        if without or not asked.settings.shared_memory or not asked.takes_as_kept:
            return None
        return SharedMemory.reach(self._service.target)

    async def _taken(self, event: Event | incoming.Lent, memory: SharedMemory | None) -> Event:
        """An event; that of a batch whose records lie in shared memory has them.

        Raises:
            Unavailable: They cannot be had there; the next connection goes without.
        """
        if not isinstance(event, incoming.Lent):
            return event
        if memory is None:
            raise ServiceFault("the service speaks of shared memory that nobody asked for")
        silence_max_s = self._asked.settings.silence_max_s
        self._without_memory = True
        try:
            async with asyncio.timeout(silence_max_s):
                payload = LentPayload(await memory.take(event.block, event.length))
        except TimeoutError as error:
            raise Unavailable(
                f"no shared memory came for {silence_max_s} s", reason="NO_SHARED_MEMORY"
            ) from error
        self._without_memory = False
        return event.batch(payload)

    async def _read(self, call: StreamCall) -> bytes | None:
        silence_max_s = self._asked.settings.silence_max_s
        try:
            async with asyncio.timeout(silence_max_s):
                return await call.read()
        except TimeoutError as error:
            raise Unavailable(f"nothing came for {silence_max_s} s", reason="SILENCE") from error

    async def _pass_on(self, event: Event) -> bool:
        """Buffers an event; says whether it was the stream's last."""
        if isinstance(event, Started):
            self._unanswered = False
            event = msgspec.structs.replace(event, resumed=self.started is not None)
        else:
            self._backoff.succeeded()
        to_pass = self._ledger.receive(event)
        match event:
            case Started():
                self.started = event
                self._settled.set()
            case Gap():
                self._gaps.append(event)
        if to_pass is not None:
            await self._events.put(to_pass)
        return isinstance(event, Ended)

    def _request(self, memory: SharedMemory | None) -> pb.SubscribeRequest:
        # What a member gets begins where it is committed, not where the member was.
        if self.started is None or self._asked.sharing is Sharing.SHARED:
            request = wire.subscribe_request(self._asked)
        else:
            request = wire.subscribe_request(self._asked, self._ledger.received, self._ledger.end)
        request.shared_memory = b"" if memory is None else memory.token
        return request

    async def _check_not_superseded(self) -> None:
        """Asks whether somebody took the subscription while the connection was lost.

        Subscribing again would take it back: the newest wins. A subscribe call that got no answer
        may have raised the epoch itself, so after one nothing can be told any more.

        Raises:
            Superseded: Somebody did.
        """
        if self.started is None or self._unanswered:
            return
        name = self._asked.subscription
        try:
            response = await self._service.call(
                self._service.get_subscription,
                pb.GetSubscriptionRequest(subscription=name),
                self._asked.settings.silence_max_s,
            )
        except AccessDenied:
            return
        except NotFound as error:
            raise SubscriptionDeleted(f"subscription {name!r} is no more") from error
        # Another member may have begun a new group, which has a higher epoch.
        found = response.subscription
        shares = self._asked.sharing is Sharing.SHARED and found.sharing != pb.EXCLUSIVE
        if found.epoch > self.started.epoch and not shares:
            raise SubscriptionTakenOver(f"a newer subscriber has taken subscription {name!r}")
