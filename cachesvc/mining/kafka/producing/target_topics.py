"""The topics that are written to: what they are like, and making those that are missing."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from cachesvc.backoff import Backoff
from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel, RequestUnknown
from cachesvc.mining.kafka.producing.answers import NO_ERROR, UNKNOWN_TOPIC, name_of
from cachesvc.mining.kafka.topic_metadata import TopicMetadata

_TOPIC_RESOURCE = 2
_TOPIC_NOT_AUTHORIZED, _CLUSTER_NOT_AUTHORIZED = 29, 31
_ALREADY_THERE, _NOT_CONTROLLER = 36, 41
_TIMED_OUT, _NO_LEADER = 7, 5
# Not yet, or asked of the wrong broker.
_AGAIN = frozenset({_TIMED_OUT, _NOT_CONTROLLER, 8, 89})
_CREATE_MS = 10_000
_MIN_IN_SYNC, _BYTES_MAX, _CLEANUP = "min.insync.replicas", "max.message.bytes", "cleanup.policy"


@dataclass(frozen=True, slots=True)
class NewTopic:
    """What a topic is made like.

    Attributes:
        partitions: How many.
        replicas: How many copies each of them has.
        config: Further settings, by Kafka's names.
    """

    partitions: int = 1
    replicas: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetTopic:
    """A topic as whoever writes to it needs to know it.

    Attributes:
        name: Its name.
        partitions: How many it has.
        replicas: Copies of the partition that has the fewest.
        in_sync: Copies in sync of the partition that has the fewest now.
        min_in_sync: Its ``min.insync.replicas``; None where one may not look.
        bytes_max: The largest record batch that it takes; None likewise.
        compacted: Whether it keeps the last record of each key, and takes none without.
    """

    name: str
    partitions: int
    replicas: int
    in_sync: int
    min_in_sync: int | None = None
    bytes_max: int | None = None
    compacted: bool = False


class TargetTopics:
    """Looks at topics of one cluster, and makes them.

    Args:
        cluster: Whom to ask.
        limit_s: Seconds until a topic that was made has to be ready.
    """

    def __init__(self, cluster: Cluster, limit_s: float) -> None:
        self._cluster = cluster
        self._limit_s = limit_s

    async def find(self, names: Collection[str]) -> dict[str, TargetTopic]:
        """Those of some topics that are there and have all their leaders.

        Raises:
            ConnectionUnusable: One may not be seen.
            SourceUnreachable: No broker answers, or a partition has no leader for now.
        """
        found = (await self._cluster.metadata(names)).topics
        there = {name: found[name] for name in names if _is_there(name, found.get(name))}
        settings = await self._settings(there) if there else {}
        return {name: _described(name, topic, settings.get(name)) for name, topic in there.items()}

    async def ensure(self, name: str, new: NewTopic) -> TargetTopic:
        """A topic, made if it is missing.

        Raises:
            ConnectionUnusable: It is missing and cannot be made like this, or one may not.
            SourceUnreachable: As for ``find``; or it was made and is not ready in time.
        """
        found = (await self.find([name])).get(name)
        if found is not None:
            return found
        await self._create(name, new)
        end_s = time.monotonic() + self._limit_s
        backoff = Backoff(0.02, 0.5)
        while True:
            try:
                found = (await self.find([name])).get(name)
                if found is not None:
                    return found
                problem = SourceUnreachable(f"topic {name}: made, and not there yet")
            except ConnectionUnusable:
                raise
            except SourceUnreachable as error:
                problem = error
            if time.monotonic() > end_s:
                raise problem
            await asyncio.sleep(backoff.next())

    async def try_to_create(self, name: str, new: NewTopic) -> None:
        """Has the cluster say whether a topic could be made; makes none. Raises as ``ensure``."""
        await self._create(name, new, only_try=True)

    async def _create(self, name: str, new: NewTopic, *, only_try: bool = False) -> None:
        found = await self._cluster.metadata(())
        unassigned: list[tuple[int, list[int]]] = []
        topic = (name, new.partitions, new.replicas, unassigned, list(new.config.items()))
        refusal: tuple[int, str] | None = None
        # The controller alone makes topics; which of the brokers it is, is not worth asking.
        for node in found.brokers:
            request = CreateTopicsRequest([topic], _CREATE_MS, only_try)
            answer = await self._cluster.send(node, Channel.CONTROL, request)
            ((_, error_code, message),) = answer.topic_errors
            if error_code in (NO_ERROR, _ALREADY_THERE):
                return
            if error_code not in _AGAIN:
                raise _not_made(name, new, error_code, message or "")
            refusal = refusal or (error_code, message or "")
        detail = name_of(refusal[0]) if refusal else "no broker"
        raise SourceUnreachable(f"topic {name} cannot be made now: {detail}")

    async def _settings(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """The settings of topics, of those that one may look at."""
        wanted = [_MIN_IN_SYNC, _BYTES_MAX, _CLEANUP]
        request = DescribeConfigsRequest([(_TOPIC_RESOURCE, name, wanted) for name in names])
        brokers = (await self._cluster.metadata(())).brokers
        try:
            answer = await self._cluster.send(next(iter(brokers)), Channel.CONTROL, request)
        except RequestUnknown:
            return {}
        return {
            name: {setting: value for setting, value, *_ in entries}
            for error_code, _, _, name, entries in answer.resources
            if error_code == NO_ERROR
        }


def _is_there(name: str, topic: TopicMetadata | None) -> bool:
    if topic is None or topic.error_code == UNKNOWN_TOPIC:
        return False
    if topic.error_code == _TOPIC_NOT_AUTHORIZED:
        hint = "let the user DESCRIBE and WRITE it (kafka-acls --add --operation Write --topic …)"
        raise ConnectionUnusable(
            f"topic {name} may not be seen; {hint}", reason="WRITE_NOT_AUTHORIZED"
        )
    if topic.error_code not in (NO_ERROR, _NO_LEADER):
        text = f"topic {name}: {name_of(topic.error_code)}"
        if topic.error_code == 17:
            raise ConnectionUnusable(f"{text}; give a name that Kafka takes")
        raise SourceUnreachable(text)
    without = [number for number, leader in topic.leaders.items() if leader < 0]
    if without or not topic.leaders:
        raise SourceUnreachable(f"topic {name}: no leader of partitions {without} for now")
    return True


def _described(name: str, topic: TopicMetadata, settings: dict[str, str] | None) -> TargetTopic:
    told = settings or {}
    return TargetTopic(
        name,
        len(topic.leaders),
        min(topic.replicas.values()),
        min(topic.in_sync.values()),
        int(told[_MIN_IN_SYNC]) if _MIN_IN_SYNC in told else None,
        int(told[_BYTES_MAX]) if _BYTES_MAX in told else None,
        "compact" in told.get(_CLEANUP, ""),
    )


def _not_made(name: str, new: NewTopic, error_code: int, message: str) -> ConnectionUnusable:
    why = f"{name_of(error_code)}: {message}" if message else name_of(error_code)
    what = f"topic {name} is missing and cannot be made with {new.partitions} partitions and "
    what += f"{new.replicas} replicas ({why})"
    if error_code in (_TOPIC_NOT_AUTHORIZED, _CLUSTER_NOT_AUTHORIZED):
        hint = "create it, or let the user CREATE topics (kafka-acls --add --operation Create …)"
        return ConnectionUnusable(f"{what}; {hint}", reason="WRITE_NOT_AUTHORIZED")
    return ConnectionUnusable(f"{what}; create it, or give other settings")
