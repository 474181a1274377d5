"""Producer ids and transactions: what is asked of a coordinator (KIP-98)."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from aiokafka.protocol.api import Request
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.transaction import (
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)

from cachesvc.backoff import Backoff
from cachesvc.errors import ConnectionUnusable, SourceUnreachable, Superseded
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import NO_ERROR, Outcome, name_of, outcome_of
from cachesvc.mining.source import SourcePartition

_TRANSACTION = 1
_NOT_ATTEMPTED = 55
_IDS_TIMEOUT_MS = 60_000


@dataclass(frozen=True, slots=True)
class ProducerId:
    """Who a producer is to brokers.

    Attributes:
        id: Given by the cluster.
        epoch: Grows each time a transactional id is taken over.
    """

    id: int = -1
    epoch: int = -1


class TransactionLost(SourceUnreachable):
    """What was written has to be written again, by a producer that begins anew."""


class Coordinator:
    """Asks for producer ids and keeps the transactions of one transactional id.

    What may pass is asked again until ``limit_s`` are over; then ``SourceUnreachable`` tells why.

    Args:
        cluster: Whom to ask.
        transactional_id: None for a producer without transactions.
        transaction_timeout_s: After which the cluster aborts a transaction by itself.
        limit_s: Seconds for one call.
    """

    def __init__(
        self,
        cluster: Cluster,
        transactional_id: str | None,
        transaction_timeout_s: float,
        limit_s: float,
    ) -> None:
        self._cluster = cluster
        self._transactional_id = transactional_id
        self._timeout_s = transaction_timeout_s
        self._limit_s = limit_s
        self._node: int | None = None
        self._began_s = 0.0

    async def producer_id(self) -> ProducerId:
        """A new id; with transactions, one that fences whoever had the transactional id before.

        A transaction that was left open is aborted then, and one that was being committed is
        committed, before this returns.
        """
        timeout_ms = int(self._timeout_s * 1000) if self._transactional_id else _IDS_TIMEOUT_MS
        request = InitProducerIdRequest(self._transactional_id, timeout_ms)
        answer = await self._ask(request, lambda found: [found.error_code])
        return ProducerId(answer.producer_id, answer.producer_epoch)

    async def add(self, producer: ProducerId, partitions: Collection[SourcePartition]) -> None:
        """Begins a transaction with these partitions."""
        by_topic: defaultdict[str, list[int]] = defaultdict(list)
        for topic, number in partitions:
            by_topic[topic].append(number)
        self._began_s = time.monotonic()
        await self._ask(
            AddPartitionsToTxnRequest(
                self._transactional_id, producer.id, producer.epoch, list(by_topic.items())
            ),
            lambda found: [code for _, each in found.errors for _, code in each],
        )

    async def end(self, producer: ProducerId, *, commit: bool) -> None:
        """Commits the transaction, or aborts it.

        Without an answer a commit may have happened: ``producer_id`` makes sure of either.
        """
        request = EndTxnRequest(self._transactional_id, producer.id, producer.epoch, commit)
        await self._ask(request, lambda found: [found.error_code])

    async def may_coordinate(self) -> None:
        """Asks who coordinates the transactional id, which takes the right to it."""
        end_s = time.monotonic() + self._limit_s
        backoff = Backoff(0.02, 0.5)
        while True:
            try:
                await self._ask_once(self._find_request(), await self._any_broker())
                return
            except (ConnectionUnusable, TransactionLost):
                raise
            except SourceUnreachable:
                # A new cluster makes the place where transactions are kept when first asked.
                if time.monotonic() > end_s:
                    raise
            await asyncio.sleep(backoff.next())

    async def _ask(self, request: Request[Any], codes: Callable[[Any], list[int]]) -> Any:
        """The answer to a request without an error."""
        end_s = time.monotonic() + self._limit_s
        backoff = Backoff(0.005, 0.5)
        while True:
            try:
                node = await self._coordinator()
                answer = await self._cluster.send(node, Channel.CONTROL, request)
                problem = self._problem(codes(answer))
                if problem is None:
                    return answer
            except (ConnectionUnusable, TransactionLost):
                raise
            except SourceUnreachable as error:
                self._node, problem = None, error
            if time.monotonic() > end_s:
                raise problem
            await asyncio.sleep(backoff.next())

    def _problem(self, codes: list[int]) -> SourceUnreachable | None:
        """None if all is well; raises what no other try heals."""
        # Where one partition is refused, the others are not attempted.
        wrong = [code for code in codes if outcome_of(code) is not Outcome.DONE]
        told = [code for code in wrong if code != _NOT_ATTEMPTED] or wrong
        if not told:
            return None
        error_code, outcome = told[0], outcome_of(told[0])
        self.check(error_code)
        if outcome is not Outcome.RETRY:
            raise TransactionLost(f"the transaction is lost: {name_of(error_code)}")
        if error_code in (15, 16):  # another node coordinates, or none does for now
            self._node = None
        return SourceUnreachable(f"the coordinator answers {name_of(error_code)}")

    def check(self, error_code: int) -> None:
        """Raises what an error code means for whoever writes, if that is final.

        Raises:
            ConnectionUnusable: The user may not, or it cannot be done like this.
            Superseded: Another producer has the transactional id.
            TransactionLost: The transaction took so long that it was aborted.
        """
        outcome, name = outcome_of(error_code), name_of(error_code)
        if outcome is Outcome.NOT_ALLOWED:
            raise not_allowed(name, self._transactional_id)
        if outcome is Outcome.IMPOSSIBLE:
            raise ConnectionUnusable(f"the cluster does not do this: {name}")
        if outcome is Outcome.FENCED:
            if self._transactional_id is None:
                raise TransactionLost(f"the producer has to begin anew: {name}")
            if self._began_s and time.monotonic() - self._began_s > self._timeout_s:
                text = f"the transaction took more than {self._timeout_s:g} s and was aborted"
                raise TransactionLost(text)
            raise Superseded(
                f"another producer has the transactional id {self._transactional_id!r} now; stop "
                "all but one"
            )

    async def _coordinator(self) -> int:
        if self._transactional_id is None:
            return await self._any_broker()
        if self._node is None:
            found = await self._ask_once(self._find_request(), await self._any_broker())
            self._node = int(found.coordinator_id)
        return self._node

    def _find_request(self) -> FindCoordinatorRequest:
        return FindCoordinatorRequest(self._transactional_id or "", _TRANSACTION)

    async def _ask_once(self, request: Request[Any], node: int) -> Any:
        answer = await self._cluster.send(node, Channel.CONTROL, request)
        if answer.error_code != NO_ERROR:
            self.check(answer.error_code)
            text = f"no coordinator of transactions: {name_of(answer.error_code)}"
            raise SourceUnreachable(text)
        return answer

    async def _any_broker(self) -> int:
        # Not the same one each time: it may be the one that does not answer.
        return random.choice(list((await self._cluster.metadata(())).brokers))


def not_allowed(name: str, transactional_id: str | None) -> ConnectionUnusable:
    """The error that names the right that is missing."""
    hint = "let the user WRITE to the topic (kafka-acls --add --operation Write --topic …; before "
    hint += "Kafka 2.8 also IdempotentWrite)"
    if transactional_id is not None:
        hint += f", and to the transactional id (… --transactional-id {transactional_id})"
    return ConnectionUnusable(f"{name}; {hint}", reason="WRITE_NOT_AUTHORIZED")
