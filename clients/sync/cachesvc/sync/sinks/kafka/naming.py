"""Which topic records of a source's topic go to."""

import re

from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sink import TaskContext

_NAME = re.compile(r"\A[A-Za-z0-9._-]{1,249}\Z")
_NOT_NAMES = (".", "..")


class TopicNames:
    """The names that a template makes.

    Args:
        template: In which ``{topic}`` and ``{connection}`` stand for the source's.
        connection: Of the source; may be empty.
    """

    def __init__(self, template: str, connection: str) -> None:
        self._template = template.replace("{connection}", connection)

    @property
    def only(self) -> str | None:
        """The one topic that everything goes to; None if it depends on the source's."""
        return None if "{topic}" in self._template else self.of("")

    def of(self, topic: str) -> str:
        """The target of a source's topic.

        Raises:
            TargetFailed: Kafka does not take such a name.
        """
        name = self._template.replace("{topic}", topic)
        if _NAME.match(name) is None or name in _NOT_NAMES:
            raise TargetFailed(
                f"sink.topic: {self._template!r} makes the name {name!r} of topic {topic!r}, which "
                "Kafka does not take; 1 to 249 of A-Z, a-z, 0-9, ., _ and - are allowed",
                reason="INVALID_TOPIC_NAME",
            )
        return name

    def known(self, context: TaskContext) -> list[str]:
        """What is known of the names before the first record comes."""
        if self.only is not None:
            return [self.only]
        return [] if context.source is None else [self.of(each) for each in context.source.topics]

    def expression(self) -> str:
        """An expression that matches what it makes, and perhaps more."""
        return ".*".join(map(re.escape, self._template.split("{topic}")))
