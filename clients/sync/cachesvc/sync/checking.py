"""What is wrong with a task, found by trying both ends without moving anything."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cachesvc.client import (
    AccessDenied,
    Client,
    ClientError,
    InvalidRequest,
    NotFound,
    PartitionOffsets,
    ServiceFault,
    Unavailable,
)
from cachesvc.sync.config import SourceConfig, TaskConfig
from cachesvc.sync.models import source_topics
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.letters import CheckedKeeper
from cachesvc.sync.sink import Check

_SINK_TIMEOUT_S = 60.0


async def check_task(parts: TaskParts) -> AsyncIterator[Check]:
    """What was tried, in order; what depends on something that failed is left out.

    Neither a subscription nor a record is left behind.
    """
    config = parts.config
    steps = len(config.transforms)
    yield Check("file", True, f"{parts.origin}: {config.source.mode}, {steps} transforms")
    async for found in check_source(parts.client(), config):
        yield found
    if parts.broker is not None:
        yield await parts.broker.check(config.source.topics)
    if config.errors.dead_letters is not None:
        yield await asyncio.to_thread(_check_writable, Path(config.errors.dead_letters))
    if isinstance(parts.keeper, CheckedKeeper):
        yield await parts.keeper.check()
    for found in await _check_sink(parts):
        yield found


async def check_source(client: Client, config: TaskConfig) -> AsyncIterator[Check]:
    """Whether the service answers, has the topics, and where the subscription stands."""
    source = config.source
    async with client:
        try:
            topics = await source_topics(client, source)
        except NotFound as error:
            yield Check("service", True, source.service)
            yield Check("topics", False, str(error), "Name topics that the connection has.")
            return
        except ClientError as error:
            yield Check("service", False, f"{source.service}: {error}", _hint(error))
            return
        yield Check("service", True, source.service)
        yield _topics_found(topics, source)
        if source.filter:
            yield await _filter(client, source.filter)
        yield await _position(client, config)


def _topics_found(topics: dict[str, list[PartitionOffsets]], source: SourceConfig) -> Check:
    partitions = [each for of in topics.values() for each in of]
    if not partitions:
        return Check(
            "topics",
            False,
            f"nothing matches {source.topic_expression or ', '.join(source.topics)} yet",
            "Name topics that the connection has; those made later join by themselves.",
        )
    blocked = [each for each in partitions if each.mining_error]
    names = ", ".join(sorted(topics)[:5]) + (", …" if len(topics) > 5 else "")
    detail = f"{len(topics)} topics ({names}), {len(partitions)} partitions"
    if blocked:
        first = blocked[0]
        where = f"{first.topic}/{first.partition}"
        detail += f"; {len(blocked)} are not mined, {where}: {first.mining_error}"
        return Check("topics", False, detail, "See `cachesvc mining blocked` at the service.")
    return Check("topics", True, detail)


async def _filter(client: Client, text: str) -> Check:
    try:
        await client.test_filter(text)
    except InvalidRequest as error:
        return Check("filter", False, str(error), "Mend source.filter.")
    except ServiceFault:
        return Check("filter", True, f"{text}; not tried, as the service is too old to tell")
    except ClientError as error:
        return Check("filter", False, str(error), _hint(error))
    return Check("filter", True, text)


async def _position(client: Client, config: TaskConfig) -> Check:
    try:
        known = await client.get_subscription(config.subscription)
    except NotFound:
        start = config.source.start
        where = "as its mode says" if start is None else "where source.start says"
        return Check("position", True, f"none is stored; starts {where}")
    except ClientError as error:
        return Check("position", False, str(error), _hint(error))
    lag = f"{len(known.partitions)} partitions stored, {known.lag.records:,} records behind"
    if known.members and config.source.sharing == "shared":
        hint = f"{len(known.members)} share it now; running the task adds one."
        return Check("position", True, lag, hint)
    if known.connected:
        hint = "Somebody reads this subscription now; running the task takes it over."
        return Check("position", True, lag, hint)
    return Check("position", True, lag)


async def _check_sink(parts: TaskParts) -> Sequence[Check]:
    try:
        async with asyncio.timeout(_SINK_TIMEOUT_S):
            found = await parts.sink.check()
    except Exception as error:
        return [Check("sink", False, f"{type(error).__name__}: {error}", "")]
    finally:
        await parts.sink.close()
    return [Check(f"sink: {each.name}", each.passed, each.detail, each.hint) for each in found]


def _check_writable(directory: Path) -> Check:
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        if not os.path.isdir(existing):
            raise NotADirectoryError(20, "is no directory")
        with tempfile.TemporaryFile(dir=existing):
            return Check("dead letters", True, str(directory))
    except OSError as error:
        detail = f"{directory}: cannot be written: {error.strerror}"
        return Check("dead letters", False, detail, "Name another directory.")


def _hint(error: ClientError) -> str:
    match error:
        case AccessDenied():
            return "Give a token that is allowed to read, with token_env or token_file."
        case Unavailable():
            return "Start the service, or mend source.service; a running task waits for it."
        case InvalidRequest():
            return "Mend what the message names."
        case _:
            return "The service's log says more."
