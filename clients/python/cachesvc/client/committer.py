"""Commits of one stream: in order, over lost connections, within a bounded time."""

import asyncio
import logging
from collections.abc import Collection
from random import Random

from cachesvc.client import wire
from cachesvc.client.backoff import Backoff
from cachesvc.client.errors import (
    PartitionRevoked,
    SubscriptionTakenOver,
    TimedOut,
    Unavailable,
)
from cachesvc.client.feed import Feed
from cachesvc.client.ledger import Ledger
from cachesvc.client.positions import PartitionKey, Positions
from cachesvc.client.rpc import Service
from cachesvc.client.settings import Subscribe
from cachesvc.client.shared_ledger import SharedLedger
from cachesvc.v1 import log_cache_pb2 as pb

_log = logging.getLogger("cachesvc.client")


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
            PartitionRevoked: Of a shared stream that is complete, others have partitions by now.
            TimedOut: It took longer than ``commit_timeout_s``, the wait for a connection included.
            ClientError: The service refuses it.
        """
        self._ledger.to_commit(wanted, delivered)
        timeout_s = self._asked.settings.commit_timeout_s
        try:
            async with asyncio.timeout(timeout_s), self._one_by_one:
                positions = self._ledger.to_commit(wanted, delivered)
                while positions:
                    epochs = self._epochs(positions)
                    try:
                        await self._store(positions, epochs)
                    except PartitionRevoked as refused:
                        if isinstance(self._ledger, SharedLedger) and self._ledger.ended:
                            raise  # perhaps there is nobody left to whom they come again
                        # At the latest all of them, so this ends.
                        lost = positions.keys() & refused.partitions or positions.keys()
                        self._forget(epochs, lost)
                        positions = Positions(p for p in positions.values() if p.key not in lost)
                    else:
                        self._ledger.committed(positions)
                        return
        except TimeoutError as error:
            raise TimedOut(f"a commit got no answer within {timeout_s} s") from error

    def _epochs(self, positions: Positions) -> dict[PartitionKey, int]:
        ledger = self._ledger
        if not isinstance(ledger, SharedLedger):
            return {}
        return {key: ledger.epoch(key) for key in positions}

    def _forget(self, epochs: dict[PartitionKey, int], lost: Collection[PartitionKey]) -> None:
        if isinstance(self._ledger, SharedLedger):
            self._ledger.lost(epochs, lost)
        _log.info(
            "positions of subscription %s are left out, as another member has the partitions: %s",
            self._asked.subscription,
            sorted(lost),
        )

    async def _store(self, positions: Positions, epochs: dict[PartitionKey, int]) -> None:
        """Tries until it is done or refused; whoever calls this bounds the time."""
        settings = self._asked.settings
        backoff = Backoff(
            settings.reconnect_delay_first_s, settings.reconnect_delay_max_s, None, Random()
        )
        messages = wire.position_messages(positions.values(), epochs)
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
