"""What a task is made of, by its settings: both ends, transforms, dead letters."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cachesvc.client import Client
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.dead_letters import DeadLetters, LetterBox
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.kinds import make_sink, make_transforms
from cachesvc.sync.models import SourceCluster, SourceModels
from cachesvc.sync.runner.auto_source import AutoSource
from cachesvc.sync.runner.cache_source import CacheSource, client_of
from cachesvc.sync.runner.kept_positions import KeptPositions
from cachesvc.sync.runner.letters import Keeper, StopAtRefused
from cachesvc.sync.runner.source import Brokers, Source
from cachesvc.sync.setting_errors import setting_error
from cachesvc.sync.sink import Sink, SourceView, TaskContext
from cachesvc.sync.task_file import load_task, parse_task, secret
from cachesvc.sync.transform import Transform
from cachesvc.sync.webhook import Webhook

TaskLike = TaskConfig | Mapping[str, Any] | str | Path
"""A task's settings, a mapping of the shape of a task file, or the path of one."""


class TaskParts:
    """What a task is made of.

    Args:
        config: Its settings.
        sink: Instead of the one that the settings describe.
        transforms: Likewise.
        origin: For messages: where the settings come from.

    Raises:
        InvalidTask: The settings are wrong; the message names the setting by its path.
    """

    def __init__(
        self,
        config: TaskConfig,
        sink: Sink | None = None,
        transforms: Iterable[Transform] | None = None,
        origin: str = "task",
    ) -> None:
        self.config = config
        self.origin = origin
        source = config.source
        shared = source.sharing == "shared"
        context = TaskContext(
            config.subscription if shared else config.name,
            source.connection,
            SourceModels(source, self.client),
            SourceView(source.topics, source.topic_expression, SourceCluster(source, self.client)),
            shared,
        )
        self.sink = sink if sink is not None else make_sink(config.sink, context, origin)
        self.transforms: Sequence[Transform] = (
            tuple(transforms)
            if transforms is not None
            else make_transforms(config.transforms, origin)
        )
        self.client()
        self.broker = self._brokers()
        self.source: Source = self._source()
        self.keeper: Keeper = self._keeper()
        self.webhook = self._webhook()

    def _webhook(self) -> Webhook | None:
        """Who is told of alarms."""
        alarms = self.config.alarms
        if alarms is None:
            return None
        names = (alarms.webhook_token_env, alarms.webhook_token_file)
        token = secret(*names, self.origin, "alarms.webhook_token")
        return Webhook(alarms.webhook_url, token, alarms.webhook_timeout_s)

    def _source(self) -> Source:
        path = self.config.source.positions_file
        if self.broker is None or path is None:
            return CacheSource(self.config, self.client)
        return AutoSource(self.config, self.client, self.broker.open, KeptPositions(Path(path)))

    def _keeper(self) -> Keeper:
        """What becomes of records that are refused."""
        errors = self.config.errors
        if errors.dead_letters is not None:
            box = LetterBox(Path(errors.dead_letters), self.config.name)
            return DeadLetters(box, errors)
        if errors.dead_letter_topic is None:
            self._refuse_to_ignore()
            return StopAtRefused()
        if self.config.sink.get("kind") != "kafka":
            problem = 'takes a sink of kind "kafka", whose cluster has the topic; '
            problem += "give errors.dead_letters, a directory"
            raise setting_error(self.origin, "errors.dead_letter_topic", problem)
        letters = importlib.import_module("cachesvc.sync.sinks.kafka.letters")
        keeper: Keeper = letters.letter_topic(self.config, self.config.sink, self.origin)
        return keeper

    def _refuse_to_ignore(self) -> None:
        """Who switches ignoring on means to go on; that takes a place for what is ignored."""
        sink = self.config.sink
        if sink.get("kind") == "kafka" and sink.get("ignore_push_errors"):
            problem = 'needs errors.policy = "dead-letter", with errors.dead_letters or '
            problem += "errors.dead_letter_topic: what is ignored is kept there"
            raise setting_error(self.origin, "sink.ignore_push_errors", problem)

    def _brokers(self) -> Brokers | None:
        """How the broker of "auto" is read."""
        tree = self.config.source.kafka
        if tree is None:
            return None
        try:
            kafka = importlib.import_module("cachesvc.sync.kafka_broker")
        except ImportError as error:
            problem = f"'auto' needs what pip install 'cachesvc-sync[kafka]' brings: {error}"
            raise setting_error(self.origin, "source.source", problem) from error
        brokers: Brokers = kafka.KafkaBrokers(tree, self.origin, self.config.name)
        return brokers

    def client(self) -> Client:
        """A client of the service, not open yet; reads secrets and certificates."""
        try:
            return client_of(self.config.source, self.origin, self.config.name)
        except OSError as error:
            raise InvalidTask(f"{self.origin}: source.tls: {error}") from error


def parts_of(
    task: TaskLike, sink: Sink | None = None, transforms: Iterable[Transform] | None = None
) -> TaskParts:
    """What a task is made of, by its settings.

    Raises:
        InvalidTask: They are wrong; the message names the setting by its path.
    """
    origin = str(task) if isinstance(task, str | Path) else "task"
    match task:
        case TaskConfig():
            config = task
        case str() | Path():
            config = load_task(task)
        case _:
            config = parse_task(task)
    return TaskParts(config, sink, transforms, origin)
