"""Commits of one stream: in order, over lost connections, within a bounded time."""

import asyncio
from random import Random

from cachesvc.client import wire
from cachesvc.client.backoff import Backoff
from cachesvc.client.errors import SubscriptionTakenOver, TimedOut, Unavailable
from cachesvc.client.feed import Feed
from cachesvc.client.ledger import Ledger
from cachesvc.client.positions import Positions
from cachesvc.client.rpc import Service
from cachesvc.client.settings import Subscribe
from cachesvc.v1 import log_cache_pb2 as pb


class Committer:
    """Stores positions for a stream.

    Args:
        service: Where to store them.
        request: Names the subscription and how long a commit may take.
        feed: Knows the epoch.
        ledger: Knows what is committed.
    """

    def __init__(self, service: Service, request: Subscribe, feed: Feed, ledger: Ledger) -> None:
        self._service = service
        self._asked = request
        self._feed = feed
        self._ledger = ledger
        self._one_by_one = asyncio.Lock()

    async def commit(self, wanted: Positions, delivered: Positions) -> None:
        """Stores positions; when this returns, they survive the death of the service.

        Cancelled, or after ``TimedOut``, they may be stored or not.

        Args:
            wanted: What to store; what is stored already costs no call.
            delivered: How far a commit may go.

        Raises:
            PositionNotDelivered: ``wanted`` goes further; nothing is stored.
            Superseded: The subscription belongs to somebody else now; nothing is stored.
            TimedOut: It took longer than ``commit_timeout_s``, the wait for a connection included.
            ClientError: The service refuses it.
        """
        self._ledger.to_commit(wanted, delivered)
        timeout_s = self._asked.settings.commit_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._one_by_one:
                positions = self._ledger.to_commit(wanted, delivered)
                if positions:
                    await self._store(positions)
                    self._ledger.committed(positions)
        except TimeoutError as error:
            raise TimedOut(f"a commit got no answer within {timeout_s} s") from error

    async def _store(self, positions: Positions) -> None:
        """Tries until it is done or refused; whoever calls this bounds the time."""
        settings = self._asked.settings
        backoff = Backoff(
            settings.reconnect_delay_first_s, settings.reconnect_delay_max_s, None, Random()
        )
        messages = wire.position_messages(positions.values())
        while True:
            epoch = await self._feed.current_epoch()
            request = pb.CommitRequest(
                subscription=self._asked.subscription, epoch=epoch, positions=messages
            )
            try:
                await self._service.call(self._service.commit, request, settings.commit_timeout_s)
            except SubscriptionTakenOver:
                # Perhaps by this stream's own next connection, whose epoch is not known yet.
                if await self._feed.current_epoch() == epoch:
                    raise
            except Unavailable:
                await asyncio.sleep(backoff.next_wait_s())
            else:
                return
