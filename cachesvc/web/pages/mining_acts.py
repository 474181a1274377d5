"""What operators do about mining: stop, start, retry, give a topic to a reader."""

from cachesvc.v1.mining_tasks_pb2 import (
    MiningTask,
    PinTopicRequest,
    RetryPartitionsRequest,
    RetryPartitionsResponse,
    StartMinedTopicRequest,
    StartMiningTaskRequest,
    StopMinedTopicRequest,
    StopMiningTaskRequest,
    UnpinTopicRequest,
)
from cachesvc.web.page import Action, Done, Fields, Preview
from cachesvc.web.pages.mining_task import task_of
from cachesvc.web.visit import Visit


def stop_preview(task: MiningTask) -> Preview:
    """What stopping a task means."""
    points = [
        f"None of its {len(task.topics):,} topics is mined until somebody starts it again.",
        "A restart of the service does not start it.",
        "Subscribers are given what is cached and wait; nobody is ended.",
        "What Kafka's retention deletes meanwhile is lost to the cache.",
    ]
    return Preview(f"Stop mining connection {task.connection}?", points)


async def _preview_stop(visit: Visit, fields: Fields) -> Preview:
    return stop_preview(await task_of(visit, fields.get("connection", "")))


async def _stop(visit: Visit, fields: Fields) -> Done:
    connection = fields.get("connection", "")
    await visit.ask(StopMiningTaskRequest(connection=connection))
    return Done(f"Connection {connection} is not mined any more.")


async def _start(visit: Visit, fields: Fields) -> Done:
    connection = fields.get("connection", "")
    await visit.ask(StartMiningTaskRequest(connection=connection))
    return Done(f"Connection {connection} is mined again.")


async def _stop_topic(visit: Visit, fields: Fields) -> Done:
    topic = fields.get("topic", "")
    await visit.ask(StopMinedTopicRequest(connection=fields.get("connection", ""), topic=topic))
    return Done(f"Topic {topic} is not mined any more; subscribers get what is cached, and wait.")


async def _start_topic(visit: Visit, fields: Fields) -> Done:
    topic = fields.get("topic", "")
    await visit.ask(StartMinedTopicRequest(connection=fields.get("connection", ""), topic=topic))
    return Done(f"Topic {topic} is mined again.")


async def _retry(visit: Visit, fields: Fields) -> Done:
    topic, partition = fields.get("topic", ""), fields.get("partition", "")
    request = RetryPartitionsRequest(connection=fields.get("connection", ""), topic=topic)
    if partition.isascii() and partition.isdigit() and len(partition) < 10:
        request.partition = int(partition)
    answer: RetryPartitionsResponse = await visit.ask(request)
    numbers = ", ".join(str(each.partition) for each in answer.partitions)
    return Done(f"Topic {topic} is tried again at partition {numbers}.")


async def _pin(visit: Visit, fields: Fields) -> Done:
    topic, reader = fields.get("topic", ""), fields.get("reader", "").strip()
    strict = fields.get("strict") == "yes"
    await visit.ask(
        PinTopicRequest(
            connection=fields.get("connection", ""), topic=topic, reader=reader, strict=strict
        )
    )
    return Done(f"Topic {topic} is mined by reader {reader} from now on.")


async def _unpin(visit: Visit, fields: Fields) -> Done:
    topic = fields.get("topic", "")
    await visit.ask(UnpinTopicRequest(connection=fields.get("connection", ""), topic=topic))
    return Done(f"Topic {topic} is any reader's again.")


ACTIONS = (
    Action("stop-mining", "Stop mining", _stop, _preview_stop),
    Action("start-mining", "Start mining", _start),
    Action("stop-topic", "Stop", _stop_topic),
    Action("start-topic", "Start", _start_topic),
    Action("retry-partitions", "Try again", _retry),
    Action("pin-topic", "Give to the reader", _pin),
    Action("unpin-topic", "Give back to all readers", _unpin),
)
