"""Dead letters in a topic tried again and taken out, by the command line.

CACHESVC_SYNC_ROUNDS makes the kills more.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from typer.testing import CliRunner, Result

from cachesvc.sync.cli.main import app
from cachesvc.sync.parts import parts_of
from cachesvc.sync.retrying import retry_queue
from cachesvc.sync.runner.letters import Letter, LetterQueue
from cachesvc.sync.sinks.kafka.letter_log import group_of
from cachesvc.sync.state import StateDirectory
from tests.faults.stage import eventually
from tests.integration.kafka_target import Name
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import QUIET
from tests.support.secured_broker import SecuredBroker
from tests.support.topics import configure_topic, create_topic, read_all, watermarks
from tests.sync.test_dead_letters import letter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

_WAITS_AT_3 = """
import pathlib, time

HERE = pathlib.Path(__file__)

def wait(batch):
    if '"n": 3,' in batch["value"][0].as_py()[:10] and HERE.with_name("waits").exists():
        HERE.with_name("reached").touch()
        time.sleep(600)
    return batch
"""


_WAITS_A_LITTLE = """
import pathlib, time

HERE = pathlib.Path(__file__)

def wait(batch):
    with HERE.with_name("called").open("a") as file:
        file.write("x")
    time.sleep(0.03)
    return batch
"""
LETTERS = 24
ROUNDS = int(os.environ.get("CACHESVC_SYNC_ROUNDS", "3"))


class Task:
    """A task that never ran, with letters in a topic; commands are called with its file."""

    def __init__(self, directory: Path, name: Name, sink: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name, self.target, self.letters = name("task"), name("copy"), name("letters")
        self.state = directory / "state"
        self.file = directory / "task.toml"
        self.file.write_text(
            f'name = "{self.name}"\n[source]\nservice = "127.0.0.1:1"\ntopics = ["orders"]\n'
            f'mode = "FULL"\n[sink]\nkind = "kafka"\ntopic = "{self.target}"\n'
            f'ignore_push_errors = true\n{sink}\n[errors]\npolicy = "dead-letter"\n'
            f'dead_letter_topic = "{self.letters}"\n'
        )

    def keep(self, *letters: Letter, task: str | None = None) -> None:
        """As if the task, or another one, had refused records."""

        async def run() -> None:
            parts = parts_of(str(self.file))
            if task is not None:
                parts.keeper._task = task  # type: ignore[attr-defined]
            try:
                await parts.keeper.open()
                for each in letters:
                    await parts.keeper.keep([each])
            finally:
                await parts.keeper.close()

        asyncio.run(run())

    def call(self, command: str, *arguments: str) -> Result:
        state = ["--state", str(self.state)] if command == "retry" else []
        words = ["dead-letters", command, str(self.file), *state, *arguments]
        return CliRunner().invoke(app, words)

    def standing(self) -> list[tuple[int, str, int]]:
        """Offset, reason and tries of what stands."""
        done = self.call("list", "--json")
        return [(e["offset"], e["reason"], e["tries"]) for e in json.loads(done.stdout)]


def task_of(bootstrap: str, directory: Path, name: Name) -> Task:
    return Task(directory, name, f'bootstrap_servers = ["{bootstrap}"]')


def carried(bootstrap: str, topic: str) -> list[int]:
    """The numbers of what a topic has, in order."""
    return [json.loads(each.value or b"")["n"] for each in read_all(bootstrap, topic)[0]]


def numbered(offset: int, size: int = 0, **changes: Any) -> Letter:
    return letter(offset, value=json.dumps({"n": offset, "x": "x" * size}), **changes)


def group_offset(bootstrap: str, group: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, **QUIET})
    try:
        (found,) = consumer.committed([TopicPartition(topic, 0)], timeout=30)
        return int(found.offset)
    finally:
        consumer.close()


def test_what_is_written_stands_no_more_and_what_is_refused_again_is_counted(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    task = task_of(kafka.bootstrap, tmp_path, topic_name)
    create_topic(kafka.bootstrap, task.target, 1, {"max.message.bytes": "2000"})
    done = task.call("retry")
    assert (done.exit_code, done.stdout) == (0, "0 written, 0 refused again\n")
    task.keep(numbered(1), numbered(2, 3_000), numbered(3), numbered(1, reason="NEWER"))
    task.keep(numbered(7), task="another")
    assert task.standing() == [(1, "NEWER", 1), (2, "BAD", 1), (3, "BAD", 1)]
    done = task.call("retry", "--reason", "BAD")
    assert (done.exit_code, done.stdout) == (1, "1 written, 1 refused again\n")
    assert task.standing() == [(1, "NEWER", 1), (2, "RECORD_TOO_LARGE", 2)]
    assert carried(kafka.bootstrap, task.target) == [3]
    assert task.call("retry", "--reason", "NONE").stdout == "0 written, 0 refused again\n"
    assert watermarks(kafka.bootstrap, task.letters)[0] == (0, 7)
    configure_topic(kafka.bootstrap, task.target, {"max.message.bytes": "20000"})
    done = task.call("retry")
    assert (done.exit_code, done.stdout) == (0, "2 written, 0 refused again\n")
    assert carried(kafka.bootstrap, task.target) == [3, 1, 2]
    assert task.standing() == []
    assert group_offset(kafka.bootstrap, group_of(task.name), task.letters) == 7
    with StateDirectory(task.state).held(task.name):
        done = task.call("retry")
    assert done.exit_code == 5 and "runs in another process" in done.output


def test_a_retry_that_is_killed_tries_again_what_was_not_confirmed_and_loses_nothing(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    task = task_of(kafka.bootstrap, tmp_path, topic_name)
    (tmp_path / "waiting.py").write_text(_WAITS_AT_3)
    with task.file.open("a") as file:
        file.write('[[transforms]]\nkind = "python"\nfunction = "waiting:wait"\n')
        file.write('on = "batches"\ndirectory = "."\n[batch]\nrecords_max = 1\n')
    # A topic is read in pieces of a megabyte or so.
    task.keep(*(numbered(n, 700_000) for n in range(6)))
    (tmp_path / "waits").touch()
    words = ["dead-letters", "retry", str(task.file), "--state", str(task.state)]
    with subprocess.Popen(
        [sys.executable, "-m", "cachesvc.sync", *words], cwd=tmp_path, env=dict(os.environ)
    ) as process:
        try:
            eventually((tmp_path / "reached").exists, "the record that waits is reached")
        finally:
            process.kill()
    (tmp_path / "waits").unlink()
    before = carried(kafka.bootstrap, task.target)
    assert before == [0, 1, 2]
    position = group_offset(kafka.bootstrap, group_of(task.name), task.letters)
    assert 0 < position <= 3
    assert task.call("retry").exit_code == 0
    assert carried(kafka.bootstrap, task.target) == [*before, *range(position, 6)]
    assert task.standing() == []


def test_whenever_retries_are_killed_no_letter_is_left_out(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """A third of them are too large for the target until the end, and go round."""
    task = task_of(kafka.bootstrap, tmp_path, topic_name)
    create_topic(kafka.bootstrap, task.target, 1, {"max.message.bytes": "100000"})
    (tmp_path / "waiting.py").write_text(_WAITS_A_LITTLE)
    with task.file.open("a") as file:
        file.write('[[transforms]]\nkind = "python"\nfunction = "waiting:wait"\n')
        file.write('on = "batches"\ndirectory = "."\n[batch]\nrecords_max = 1\n')
    task.keep(*(numbered(n, 350_000 if n % 3 == 0 else 90_000) for n in range(LETTERS)))
    log = tmp_path / "called"
    words = ["dead-letters", "retry", str(task.file), "--state", str(task.state)]
    for _ in range(ROUNDS):
        log.write_text("")
        with subprocess.Popen(
            [sys.executable, "-m", "cachesvc.sync", *words], cwd=tmp_path, env=dict(os.environ)
        ) as process:
            try:
                eventually(lambda: log.read_text() or process.poll() is not None, "a first letter")
                time.sleep(random.uniform(0, 1.0))
            finally:
                process.kill()
    configure_topic(kafka.bootstrap, task.target, {"max.message.bytes": "1000000"})
    assert task.call("retry").exit_code == 0
    assert set(carried(kafka.bootstrap, task.target)) == set(range(LETTERS))
    assert task.standing() == []


def test_the_position_moves_only_behind_what_is_confirmed_and_kept_again(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    task = task_of(kafka.bootstrap, tmp_path, topic_name)
    create_topic(kafka.bootstrap, task.target, 1, {"max.message.bytes": "2000"})
    task.keep(numbered(1), numbered(2, 3_000))

    async def dies_before_the_position_moves() -> None:
        parts = parts_of(str(task.file))
        queue = parts.keeper
        assert isinstance(queue, LetterQueue)
        settle = queue.settle

        async def dying(offset: int, again: Sequence[Letter]) -> None:
            await settle(0, again)
            raise ConnectionResetError

        queue.settle = dying  # type: ignore[method-assign]
        try:
            with pytest.raises(ConnectionResetError):
                await retry_queue(parts, queue, lambda _: True)
        finally:
            await queue.close()

    asyncio.run(dies_before_the_position_moves())
    assert task.standing() == [(1, "BAD", 1), (2, "RECORD_TOO_LARGE", 2)]
    assert task.call("retry").stdout == "1 written, 1 refused again\n"
    assert task.standing() == [(2, "RECORD_TOO_LARGE", 3)]
    assert carried(kafka.bootstrap, task.target) == [1, 1]


def test_an_export_takes_out_of_a_topic_what_it_wrote_and_nothing_else(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    task = task_of(kafka.bootstrap, tmp_path, topic_name)
    to = tmp_path / "export"
    remove = ["--remove", "--to", str(to)]
    task.keep(numbered(1), numbered(2))
    refused = task.call("export", *remove, "--reason", "BAD")
    assert refused.exit_code == 2 and "leave out --topic and --reason" in refused.output
    task.keep(numbered(3), task="another")
    refused = task.call("export", *remove)
    assert refused.exit_code == 1 and "at offset 2 that is no letter of task" in refused.output
    assert not to.exists()
    assert watermarks(kafka.bootstrap, task.letters)[0] == (0, 3)

    alone = task_of(kafka.bootstrap, tmp_path / "alone", topic_name)
    alone.keep(numbered(1), numbered(2))
    assert alone.call("export", *remove).exit_code == 0
    assert [json.loads(line)["offset"] for line in to.read_text().splitlines()] == [1, 2]
    assert watermarks(kafka.bootstrap, alone.letters)[0] == (2, 2)
    assert alone.standing() == []
    alone.keep(numbered(5))
    assert alone.standing() == [(5, "BAD", 1)]
    configure_topic(kafka.bootstrap, alone.letters, {"cleanup.policy": "compact"})
    refused = alone.call("export", *remove)
    assert refused.exit_code == 1 and "cleanup.policy has to have delete" in refused.output
    assert alone.standing() == [(5, "BAD", 1)]


def test_a_right_that_is_missing_is_named_and_nothing_is_forgotten(
    secured_kafka: SecuredBroker, topic_name: Name, tmp_path: Path
) -> None:
    plain = secured_kafka.broker.bootstrap
    sasl, tls = secured_kafka.sasl("wendy"), secured_kafka.tls()
    tables = [
        f'bootstrap_servers = ["{secured_kafka.address("PASSWORD")}"]',
        *("[sink.tls]", *(f"{key} = {json.dumps(value)}" for key, value in tls.items())),
        *("[sink.sasl]", *(f"{key} = {json.dumps(value)}" for key, value in sasl.items())),
    ]
    task = Task(tmp_path, topic_name, "\n".join(tables))
    create_topic(plain, task.letters, 1)
    create_topic(plain, task.target, 1)
    task.keep(numbered(1))
    group = group_of(task.name)
    for command in ("list", "retry", "export"):
        refused = task.call(command)
        assert refused.exit_code == 1 and f"--operation Read --group {group}" in refused.output
    right = AclBinding(
        *(ResourceType.GROUP, group, ResourcePatternType.LITERAL, "User:wendy", "*"),
        *(AclOperation.READ, AclPermissionType.ALLOW),
    )
    admin = AdminClient({"bootstrap.servers": plain, **QUIET})
    for granted in admin.create_acls([right]).values():
        granted.result(30)
    assert task.standing() == [(1, "BAD", 1)]
    refused = task.call("export", "--remove", "--to", str(tmp_path / "export"))
    assert refused.exit_code == 1 and "--operation Delete --topic" in refused.output
    assert task.standing() == [(1, "BAD", 1)]
    assert task.call("retry").exit_code == 0
    assert task.standing() == []
