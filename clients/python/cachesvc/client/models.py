"""Models of topics as values: which fields their JSON objects have, as the service has seen."""

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from cachesvc.v1 import models_pb2 as pb


class JsonType(IntEnum):
    """The types of JSON, with integers apart from other numbers."""

    UNKNOWN = 0
    NULL = 1
    BOOLEAN = 2
    INTEGER = 3
    NUMBER = 4
    STRING = 5
    ARRAY = 6
    OBJECT = 7

    @classmethod
    def _missing_(cls, value: object) -> "JsonType":
        """What a newer service may say."""
        return cls.UNKNOWN


class ModelField(msgspec.Struct, frozen=True):
    """A field of a topic's objects.

    Attributes:
        path: As text: ``$.after.id``, ``$.items[*].sku``; ``$`` for the value itself.
        name: Its last step: a name, or ``[*]`` for the elements of an array.
        depth: How many steps it is below the value itself.
        types: Those that it had, each with the newest value as JSON text; that is empty for null,
            arrays and objects, and cut at 100 characters.
        nullable: Whether it was null, or absent from an object that might have had it.
    """

    path: str
    name: str
    depth: int
    types: dict[JsonType, str]
    nullable: bool

    @property
    def is_member(self) -> bool:
        """Whether it is a member of an object."""
        return self.depth > 0 and not self.path.endswith("[*]")


class TopicModel(msgspec.Struct, frozen=True):
    """Which fields the JSON objects of a topic have.

    Attributes:
        connection: The connection whose cluster has the topic.
        topic: Kafka's topic name.
        incarnation: Which incarnation of a topic of that name.
        truncated: Whether fields were left out: a model has at most 1,000, those nearest the root.
        records_seen: Records that were looked at.
        refreshed_ms: When the last look at some began.
        fields: In the order of a tree, each followed by those within it; the value itself first.
    """

    connection: str
    topic: str
    incarnation: int
    truncated: bool
    records_seen: int
    refreshed_ms: int
    fields: tuple[ModelField, ...]

    def members(self, path: Sequence[str] = ()) -> list[ModelField]:
        """The members of the object that a path of names leads to, ordered by name.

        Args:
            path: As `parse_path` gives it; without one, members of the value itself.
        """
        steps: list[ModelField] = []
        found = []
        for field in self.fields:
            del steps[field.depth :]
            steps.append(field)
            names = [step.name for step in steps[1:]]
            if (
                len(names) == len(path) + 1
                and names[:-1] == list(path)
                and all(step.is_member for step in steps[1:])
            ):
                found.append(field)
        return found


def topic_model(message: pb.Model) -> TopicModel:
    """A message as a value."""
    summary = message.summary
    return TopicModel(
        connection=summary.connection,
        topic=summary.topic,
        incarnation=summary.incarnation,
        truncated=summary.truncated,
        records_seen=summary.records_seen,
        refreshed_ms=summary.refreshed_ms,
        fields=tuple(
            ModelField(
                path=field.path,
                name=field.name,
                depth=field.depth,
                types={JsonType(each.type): each.example for each in field.types},
                nullable=field.nullable,
            )
            for field in message.fields
        ),
    )
