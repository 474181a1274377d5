"""Dead letters in a topic: what a check of it says, and a topic that takes none."""

import asyncio
from typing import Any

import pytest

from cachesvc.sync import Check, TargetFailed, parse_task
from cachesvc.sync.sinks.kafka.letters import LetterTopic, letter_topic
from tests.integration.kafka_target import Name
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import free_ports
from tests.support.topics import create_topic, read_all
from tests.sync.test_dead_letters import letter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


def keeper(bootstrap: str, topic: str, **sink: Any) -> LetterTopic:
    sink = {"kind": "kafka", "bootstrap_servers": [bootstrap], "topic": "copy", **sink}
    errors = {"policy": "dead-letter", "dead_letter_topic": topic}
    source = {"service": "127.0.0.1:7070", "topics": ["orders"], "mode": "FULL"}
    task = parse_task({"name": "task", "source": source, "sink": sink, "errors": errors})
    return letter_topic(task, sink, "task.toml")


def check(bootstrap: str, topic: str, **sink: Any) -> Check:
    return asyncio.run(keeper(bootstrap, topic, **sink).check())


def test_a_check_tries_the_topic_and_leaves_nothing_behind(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("letters")
    for _ in range(2):
        missing = check(kafka.bootstrap, topic)
        assert missing.passed and missing.detail == f"topic {topic} is missing, and can be made"
    create_topic(kafka.bootstrap, topic)
    there = check(kafka.bootstrap, topic)
    assert there.passed and there.detail == f"topic {topic} is there"


def test_a_check_says_why_letters_cannot_be_kept(kafka: KafkaBroker, topic_name: Name) -> None:
    replicas = check(kafka.bootstrap, topic_name("letters"), replicas=3)
    assert not replicas.passed and "replica" in replicas.detail and replicas.hint
    (port,) = free_ports(1)
    away = check(f"127.0.0.1:{port}", topic_name("letters"))
    assert not away.passed and str(port) in away.detail and away.hint


def test_a_topic_that_takes_no_letter_ends_the_task(kafka: KafkaBroker, topic_name: Name) -> None:
    small, compacted = topic_name("letters"), topic_name("letters")
    create_topic(kafka.bootstrap, small, 1, {"max.message.bytes": "600"})
    create_topic(kafka.bootstrap, compacted, 1, {"cleanup.policy": "compact"})
    large = letter(3, value='{"x":"%s"}' % ("x" * 2_000))
    without_key = letter(4, key_base64=None)

    async def keep() -> None:
        for topic, refused in ((small, large), (compacted, without_key)):
            letters = keeper(kafka.bootstrap, topic)
            try:
                await letters.open()
                await letters.keep([letter(2)])
                with pytest.raises(TargetFailed, match=topic) as caught:
                    await letters.keep([refused])
                assert caught.value.reason == "DEAD_LETTER_REFUSED"
            finally:
                await letters.close()

    asyncio.run(keep())
    for topic in (small, compacted):
        assert [each.value for each in read_all(kafka.bootstrap, topic)[0]] == [b'{"a":1}']
