"""Trying a target: what the service's connection test finds, and what a task needs beyond it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from cachesvc.errors import CacheError
from cachesvc.mining.kafka.checks import examine
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.producing import NewTopic, TargetTopics
from cachesvc.mining.kafka.producing.transactions import Coordinator
from cachesvc.policy.connection_checks import Check as Examined
from cachesvc.policy.connection_checks import CheckResult, CheckStatus
from cachesvc.settings.connection import TargetConfig
from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sink import Check, TaskContext
from cachesvc.sync.sinks.kafka.naming import TopicNames
from cachesvc.sync.sinks.kafka.own_source import OwnSource
from cachesvc.sync.sinks.kafka.session import cluster_of, new_topic, transactional_id
from cachesvc.sync.sinks.kafka.settings import KafkaSettings
from cachesvc.sync.sinks.kafka.target import Target

_LIMIT_S = 20.0
_WHOSE = {True: "this one", False: "another one", None: "not known"}
# Of topics that are missing, each asked for by itself.
_TRIED_MAX = 10
_MISSING = "NO_TOPIC_MATCHES"
# Without these there is nobody to ask more.
_REACHING = frozenset({Examined.NAME, Examined.PORT, Examined.TLS, Examined.AUTHENTICATION})


async def check_target(
    target: Target, settings: KafkaSettings, names: TopicNames, context: TaskContext
) -> Sequence[Check]:
    """Makes every check; nothing of what it writes is stored, and no running task is disturbed."""
    connection = msgspec.structs.replace(
        target.connection,
        type="target",
        topic_expression=names.expression(),
        target=TargetConfig(acks=target.acks),
    )
    checks: list[Check] = []
    reached, missing = True, False
    async with aclosing(examine(connection, _LIMIT_S)) as results:
        async for result in results:
            failed = result.finding.status is CheckStatus.FAILED
            reached = reached and not (failed and result.check in _REACHING)
            # A sink makes its topics.
            missing = missing or result.finding.reason == _MISSING
            if result.finding.status is not CheckStatus.SKIPPED and (
                result.finding.reason != _MISSING
            ):
                checks.append(_told(result))
    if reached:
        cluster = cluster_of(target, context.task)
        try:
            checks += await _of_the_task(cluster, target, settings, names, context, missing)
        finally:
            await cluster.close()
    return checks


def _told(result: CheckResult) -> Check:
    finding = result.finding
    return Check(result.check.value, finding.works, finding.detail, finding.hint)


async def _of_the_task(
    cluster: Cluster,
    target: Target,
    settings: KafkaSettings,
    names: TopicNames,
    context: TaskContext,
    missing: bool,
) -> list[Check]:
    """What a task needs besides a cluster that takes records."""
    checks = [await _own_source(cluster, settings, names, context)]
    checks.append(_refusals(target))
    topics = TargetTopics(cluster, _LIMIT_S)
    new = new_topic(settings, target)
    if known := names.known(context):
        checks += await _missing(topics, known, new)
    elif missing:
        detail = "no such topic yet; each is made when its first record comes"
        checks.append(Check("topics", True, detail))
    if settings.exactly_once:
        id_ = transactional_id(context.task)
        coordinator = Coordinator(cluster, id_, settings.transaction_timeout_s, _LIMIT_S)

        async def transactions() -> str:
            await coordinator.may_coordinate()
            return f"the cluster coordinates transactions of {id_!r}"

        checks.append(await _tried("transactions", transactions))
        name = settings.positions_topic
        checks.append(await _tried("positions", lambda: _creation(topics, name, NewTopic())))
    return checks


async def _own_source(
    cluster: Cluster, settings: KafkaSettings, names: TopicNames, context: TaskContext
) -> Check:
    """Whether the task would read what it writes."""
    own = OwnSource(context.source, settings.allow_source_topics, cluster)
    try:
        for name in names.known(context):
            await own.refuse(name)
        same = await own.is_same_cluster()
    except TargetFailed as error:
        return Check("own source", False, str(error), "Name another topic in sink.topic.")
    except CacheError as error:
        return Check("own source", False, str(error), "see the broker's log")
    detail = f"the source's cluster is {_WHOSE[same]}; no topic that is written to is read"
    return Check("own source", True, detail)


def _refusals(target: Target) -> Check:
    """What becomes of a record that Kafka refuses; the setting may be the connection's."""
    ends = "a record that Kafka refuses ends the task: ignore_push_errors is off"
    kept = "a record that Kafka refuses is left to [errors]: ignore_push_errors is on"
    return Check("refusals", True, kept if target.ignore_push_errors else ends)


async def _missing(topics: TargetTopics, names: Sequence[str], new: NewTopic) -> list[Check]:
    """Whether topics that are missing can be made, as far as the first of them tell."""
    try:
        found = await topics.find(names)
    except CacheError as error:
        return [Check("create", False, str(error), "see the broker's log")]
    missing = [name for name in names if name not in found]
    if not missing:
        return []

    async def create() -> str:
        for name in missing[:_TRIED_MAX]:
            await topics.try_to_create(name, new)
        rest = len(missing) - _TRIED_MAX
        more = f", and {rest} more" if rest > 0 else ""
        return (
            f"missing: {', '.join(missing[:_TRIED_MAX])}{more}; can be made with "
            f"{new.partitions} partitions and {new.replicas} replicas"
        )

    return [await _tried("create", create)]


async def _creation(topics: TargetTopics, name: str, new: NewTopic) -> str:
    if (found := (await topics.find([name])).get(name)) is not None:
        return f"topic {name} is there, with {found.replicas} replicas"
    await topics.try_to_create(name, new)
    return (
        f"topic {name} is missing, and can be made with {new.partitions} partitions and "
        f"{new.replicas} replicas"
    )


async def _tried(name: str, attempt: Callable[[], Awaitable[str]]) -> Check:
    try:
        return Check(name, True, await attempt())
    except CacheError as error:
        detail, _, hint = str(error).partition("; ")
        return Check(name, False, detail, hint or "see the broker's log")
