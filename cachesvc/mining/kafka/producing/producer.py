"""A producer that writes what it is given at once, in order, and returns when that is confirmed.

One record batch of each partition is under way at a time, so nothing that is tried again can change
the order; idempotence (KIP-98) keeps it from being stored twice. While a round of batches is on its
way, a thread encodes the next one. Whatever goes wrong, the next ``write`` begins with a new
producer id, so that sequence numbers never have to be mended.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cachesvc.backoff import Backoff
from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import (
    CORRUPT,
    NO_ERROR,
    Answer,
    Outcome,
    RecordRefused,
    RecordsRefused,
)
from cachesvc.mining.kafka.producing.batches import (
    Batch,
    Part,
    Work,
    in_requests,
    refused_records,
)
from cachesvc.mining.kafka.producing.encoding import SEQUENCES, encode
from cachesvc.mining.kafka.producing.form import Form
from cachesvc.mining.kafka.producing.requests import BatchesRequest, parse_answers
from cachesvc.mining.kafka.producing.transactions import Coordinator, ProducerId, TransactionLost
from cachesvc.mining.source import SourcePartition

_ROUND_BYTES_MAX = 16 << 20
# Below the time that a broker may be silent.
_REPLICAS_WAIT_MS = 10_000
_CORRUPT_TRIES = 3
_COORDINATOR_S = 20.0
_LEADERS_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerSettings:
    """How a producer writes.

    Attributes:
        acks: Kafka's: 0, 1, or -1 for all in-sync replicas.
        codec: Kafka's number of the compression.
        idempotent: Whether a second try stores nothing twice; takes acks of -1.
        transactional_id: What is written counts once its transaction is committed; None without.
        batch_bytes_max: Of a record batch before compression.
        delivery_timeout_s: How long one round of batches is tried.
        transaction_timeout_s: After which the cluster aborts a transaction by itself.
    """

    acks: int = -1
    codec: int = 0
    idempotent: bool = True
    transactional_id: str | None = None
    batch_bytes_max: int = 1 << 20
    delivery_timeout_s: float = 60.0
    transaction_timeout_s: float = 60.0


class Producer:
    """Writes to one cluster. Belongs to one event loop; one call at a time.

    Args:
        cluster: Is closed by whoever made it.
        settings: How.
    """

    def __init__(self, cluster: Cluster, settings: ProducerSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self.coordinator = Coordinator(
            cluster,
            settings.transactional_id,
            settings.transaction_timeout_s,
            min(settings.delivery_timeout_s, _COORDINATOR_S),
        )
        self._id = ProducerId()
        self._sequences: defaultdict[SourcePartition, int] = defaultdict(int)
        self._leaders: dict[str, Mapping[int, int]] = {}
        self._learned_s = time.monotonic()
        self._sound = False
        """Whether brokers and this agree about what was written."""

    async def begin_anew(self) -> None:
        """Gets a producer id; with transactions, one that fences every earlier producer.

        Raises:
            ConnectionUnusable: The user may not write like this.
            SourceUnreachable: No broker can tell in time.
        """
        self._sequences = defaultdict(int)
        if self._settings.idempotent or self._settings.transactional_id is not None:
            self._id = await self.coordinator.producer_id()
        self._sound = True

    async def begin_transaction(self, partitions: Collection[SourcePartition]) -> None:
        """Begins a transaction that writes to these partitions.

        Raises:
            Superseded: Another producer has the transactional id.
            ConnectionUnusable: As for ``begin_anew``.
            SourceUnreachable: Likewise.
        """
        if not self._sound:
            await self.begin_anew()
        self._sound = False
        await self.coordinator.add(self._id, partitions)
        self._sound = True

    async def commit(self) -> None:
        """Commits the transaction. Raises as ``begin_transaction``; then it may be so or not."""
        self._sound = False
        await self.coordinator.end(self._id, commit=True)
        self._sound = True

    async def abort(self) -> None:
        """Aborts the transaction; what was written in it is never seen. Raises likewise."""
        await self.coordinator.end(self._id, commit=False)

    async def write(self, parts: Sequence[Part]) -> None:
        """Writes records; returns when all of them are confirmed, as the acks have it.

        Those of one partition are written in their order, also over several parts. Cancelled or
        failed, some may be written.

        Args:
            parts: Each has at least one record.

        Raises:
            RecordsRefused: The cluster does not take some of it.
            Superseded: Another producer has the transactional id.
            ConnectionUnusable: The user may not write, or not like this.
            SourceUnreachable: It is not confirmed in time.
        """
        if not self._sound:
            await self.begin_anew()
        self._sound = False
        # Without answers nobody tells that a leader is another one now.
        stale = not self._settings.acks and time.monotonic() - self._learned_s > _LEADERS_S
        await self._learn({part.partition.topic for part in parts}, renew=stale)
        works = deque(Work(number, part) for number, part in enumerate(parts))
        batches = await asyncio.to_thread(self._next_round, works)
        while batches:
            following = asyncio.ensure_future(asyncio.to_thread(self._next_round, works))
            try:
                await self._deliver(batches)
            finally:
                # A thread cannot be stopped; it takes milliseconds.
                await asyncio.wait([following])
            batches = following.result()
        self._sound = True

    # Encoding, in a thread

    def _next_round(self, works: deque[Work]) -> list[Batch]:
        """The next batch of each partition, as many as are sent side by side."""
        batches: list[Batch] = []
        taken: set[SourcePartition] = set()
        later: list[Work] = []
        size = 0
        while works and size < _ROUND_BYTES_MAX:
            work = works.popleft()
            if work.part.partition in taken:
                later.append(work)
                continue
            partition = work.part.partition
            taken.add(partition)
            sequence, end = self._sequences[partition], len(work.part.columns)
            batch = self._encode(work.number, work.part, work.begin, end, sequence)
            self._sequences[partition] = (sequence + batch.end - batch.begin) % SEQUENCES
            batches.append(batch)
            size += len(batch.data)
            work.begin = batch.end
            if not work.done:
                later.append(work)
        works.extendleft(reversed(later))
        return batches

    def _encode(self, number: int, part: Part, begin: int, end: int, sequence: int) -> Batch:
        settings = self._settings
        form = Form(
            settings.codec,
            settings.batch_bytes_max,
            self._id.id,
            self._id.epoch,
            settings.transactional_id is not None,
        )
        numbered = self._id.id >= 0
        data, end = encode(part.columns, begin, end, form, sequence if numbered else -1)
        return Batch(number, part, begin, end, sequence, data)

    # Sending

    async def _deliver(self, batches: Sequence[Batch]) -> None:
        """Sends batches of different partitions until each is confirmed."""
        end_s = time.monotonic() + self._settings.delivery_timeout_s
        backoff = Backoff(0.02, 1.0)
        tries = 0
        while True:
            answers = await self._send(batches)
            tries += 1
            too_large, again = self._judge(batches, answers, tries)
            for batch in too_large:
                await self._halve(batch)
            if not again:
                return
            if time.monotonic() > end_s:
                batch = again[0]
                raise SourceUnreachable(
                    f"{batch.part.partition}: not confirmed within "
                    f"{self._settings.delivery_timeout_s:g} s: {answers[batch.part.partition]}"
                )
            await asyncio.sleep(backoff.next())
            batches = again
            await self._learn({batch.part.partition.topic for batch in batches}, renew=True)

    async def _halve(self, batch: Batch) -> None:
        """Sends a batch that is too large as two; they take the place of it in the sequence."""
        middle = (batch.begin + batch.end) // 2
        begin, sequence = batch.begin, batch.sequence
        for end in (middle, batch.end):
            while begin < end:
                half = await asyncio.to_thread(
                    self._encode, batch.number, batch.part, begin, end, sequence
                )
                await self._deliver([half])
                sequence = (sequence + half.end - half.begin) % SEQUENCES
                begin = half.end

    def _judge(
        self, batches: Sequence[Batch], answers: Mapping[SourcePartition, "_Heard"], tries: int
    ) -> tuple[list[Batch], list[Batch]]:
        """Which batches have to be halved, and which to be sent again.

        Raises what neither heals.
        """
        too_large: list[Batch] = []
        again: list[Batch] = []
        refused: list[RecordRefused] = []
        doubt = ""
        for batch in batches:
            heard = answers[batch.part.partition]
            outcome = Outcome.RETRY if isinstance(heard, SourceUnreachable) else heard.outcome
            if outcome is Outcome.TOO_LARGE and batch.end - batch.begin > 1:
                too_large.append(batch)
            elif isinstance(heard, Answer) and (
                outcome in (Outcome.TOO_LARGE, Outcome.REFUSED)
                # How brokers before 2.4 refuse a record.
                or (heard.error_code == CORRUPT and tries >= _CORRUPT_TRIES)
            ):
                told = refused_records(batch, heard)
                refused += told
                doubt = doubt or ("" if told else f"{batch.part.partition}: {heard}")
            elif outcome is Outcome.RETRY:
                again.append(batch)
            elif isinstance(heard, Answer) and outcome is not Outcome.DONE:
                self.coordinator.check(heard.error_code)
                raise TransactionLost(f"{batch.part.partition}: {heard}; it is written anew")
        if refused or doubt:
            raise RecordsRefused(doubt or refused[0].detail, refused)
        return too_large, again

    async def _send(self, batches: Sequence[Batch]) -> dict[SourcePartition, "_Heard"]:
        """What the leaders say to batches of different partitions."""
        answers: dict[SourcePartition, _Heard] = {}
        by_leader: defaultdict[int, list[Batch]] = defaultdict(list)
        for batch in batches:
            leader = self._leaders[batch.part.partition.topic].get(batch.part.partition.number, -1)
            by_leader[leader].append(batch)
        for batch in by_leader.pop(-1, ()):
            partition = batch.part.partition
            answers[partition] = SourceUnreachable(f"{partition} has no leader for now")
        asked = [(node, each) for node, led in by_leader.items() for each in in_requests(led)]
        for heard in await asyncio.gather(*(self._ask(node, each) for node, each in asked)):
            answers.update(heard)
        return answers

    async def _ask(self, node: int, batches: Sequence[Batch]) -> Mapping[SourcePartition, "_Heard"]:
        settings = self._settings
        by_topic: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for batch in batches:
            topic, number = batch.part.partition
            by_topic[topic].append((number, batch.data))
        request = BatchesRequest(
            settings.acks, _REPLICAS_WAIT_MS, list(by_topic.items()), settings.transactional_id
        )
        asked = [batch.part.partition for batch in batches]
        try:
            if settings.acks == 0:
                await self._cluster.tell(node, Channel.PRODUCE, request)
                return dict.fromkeys(asked, Answer(NO_ERROR))
            response = await self._cluster.send(node, Channel.PRODUCE, request)
        except ConnectionUnusable:
            raise
        except SourceUnreachable as error:
            return dict.fromkeys(asked, error)
        told = parse_answers(response)
        silent = SourceUnreachable("the leader did not answer for it")
        return {partition: told.get(partition, silent) for partition in asked}

    async def _learn(self, topics: Collection[str], *, renew: bool = False) -> None:
        """Asks who leads the partitions of topics."""
        asked = topics if renew else [topic for topic in topics if topic not in self._leaders]
        if not asked:
            return
        try:
            found = (await self._cluster.metadata(asked)).topics
        except ConnectionUnusable:
            raise
        except SourceUnreachable:
            if not renew:
                raise
            return  # the time limit is that of the round
        self._learned_s = time.monotonic()
        for topic in asked:
            known = found.get(topic)
            self._leaders[topic] = known.leaders if known is not None else {}


_Heard = Answer | SourceUnreachable
