"""The offset of one partition that a group of consumers keeps, without being a consumer of it."""

import asyncio
import random
import time
from typing import Any

from aiokafka.protocol.api import Request
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest

from cachesvc.backoff import Backoff
from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.producing.answers import NO_ERROR, TOPIC_NOT_AUTHORIZED, name_of
from cachesvc.mining.source import SourcePartition

_GROUP = 0
_NO_GENERATION, _NO_MEMBER = -1, ""
_GROUP_NOT_AUTHORIZED = 30
# What a broker says to who is no member, where the group has members.
_HAS_MEMBERS = frozenset({22, 25, 82})
# Longer than any topic is kept; without it brokers forget offsets that stand for a week.
_KEEP_MS = 20 * 365 * 24 * 3_600_000


class GroupOffset:
    """Reads and moves the offset. Belongs to one event loop; one call at a time.

    What may pass is asked again until ``limit_s`` are over; then ``SourceUnreachable`` tells why.

    Args:
        cluster: Whom to ask.
        group: The group's id. It has no members; brokers refuse the offset where it has.
        partition: Whose offset.
        limit_s: Seconds for one call.
    """

    def __init__(
        self, cluster: Cluster, group: str, partition: SourcePartition, limit_s: float
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._partition = partition
        self._limit_s = limit_s
        self._node: int | None = None

    async def read(self) -> int | None:
        """The next offset; None where the group has none.

        Raises:
            ConnectionUnusable: The user may not look at the group, or at the topic.
        """
        topic, number = self._partition
        answer = await self._ask(OffsetFetchRequest(self._group, [(topic, [number])]))
        offset = next((each[1] for _, every in answer.topics for each in every), -1)
        return None if offset < 0 else int(offset)

    async def move(self, offset: int) -> None:
        """Has the group go on at an offset; the cluster has it when this returns.

        Raises:
            ConnectionUnusable: The user may not, or the group has members.
        """
        topic, number = self._partition
        moved = [(topic, [(number, offset, "")])]
        await self._ask(
            OffsetCommitRequest(self._group, _NO_GENERATION, _NO_MEMBER, _KEEP_MS, moved)
        )

    async def _ask(self, request: Request[Any]) -> Any:
        end_s = time.monotonic() + self._limit_s
        backoff = Backoff(0.02, 0.5)
        while True:
            try:
                answer = await self._cluster.send(
                    await self._coordinator(), Channel.CONTROL, request
                )
                self._check(_error_of(answer))
                return answer
            except ConnectionUnusable:
                raise
            except SourceUnreachable:
                self._node = None
                if time.monotonic() > end_s:
                    raise
            await asyncio.sleep(backoff.next())

    async def _coordinator(self) -> int:
        if self._node is None:
            # Not the same broker each time: it may be the one that does not answer.
            node = random.choice(list((await self._cluster.metadata(())).brokers))
            request = FindCoordinatorRequest(self._group, _GROUP)
            found = await self._cluster.send(node, Channel.CONTROL, request)
            self._check(found.error_code)
            self._node = int(found.coordinator_id)
        return self._node

    def _check(self, error_code: int) -> None:
        if error_code == NO_ERROR:
            return
        name, group, topic = name_of(error_code), self._group, self._partition.topic
        if error_code in (_GROUP_NOT_AUTHORIZED, TOPIC_NOT_AUTHORIZED):
            hint = "let the user READ the group and the topic (kafka-acls --add --operation Read "
            hint += f"--group {group} --topic {topic})"
            raise ConnectionUnusable(
                f"group {group}: {name}; {hint}", reason="GROUP_NOT_AUTHORIZED"
            )
        if error_code in _HAS_MEMBERS:
            hint = "stop whoever reads as a member of this group"
            raise ConnectionUnusable(f"group {group}: {name}; {hint}", reason="GROUP_IN_USE")
        raise SourceUnreachable(f"the coordinator of group {group} answers {name}")


def _error_of(answer: Any) -> int:
    """The first error of an answer, of the whole or of the partition."""
    of_whole = getattr(answer, "error_code", NO_ERROR)
    of_parts = (each[-1] for _, every in answer.topics for each in every)
    return of_whole or next((code for code in of_parts if code), NO_ERROR)
