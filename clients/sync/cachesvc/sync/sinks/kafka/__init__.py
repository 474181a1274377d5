"""Kafka as a target: ``kind = "kafka"``. Comes with the extra ``kafka``; docs/kafka-target.md.

``settings`` (what a task file says), ``target`` (where that leads, also by a connection of the
service's), ``naming`` and ``partitioning`` (which topic, which partition), ``planning`` (what a
delivery becomes), ``positions`` (kept in a topic, for exactly once), ``session`` (an open target),
``checks`` and ``sink``.
"""

from cachesvc.client import MissingLibrary
from cachesvc.sync.sink import SinkKind

try:
    from cachesvc.sync.sinks.kafka.settings import KafkaSettings
    from cachesvc.sync.sinks.kafka.sink import KafkaSink, make
except ImportError as error:
    raise MissingLibrary(
        f"the sink kafka needs what pip install 'cachesvc-sync[kafka]' brings: {error}"
    ) from error

__all__ = ["KAFKA", "KafkaSettings", "KafkaSink"]

KAFKA = SinkKind(settings=KafkaSettings, make=make)
"""The kind, as its entry point names it."""
