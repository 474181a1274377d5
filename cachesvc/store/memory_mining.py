"""The twin of ``mining_tables`` without files."""

from collections.abc import Sequence

from cachesvc.policy.mining_task import TopicState
from cachesvc.store.mining_ports import (
    TRANSITIONS_MAX,
    MinedTopicRecord,
    MiningTaskRecord,
    MiningTransition,
    TopicPin,
)


class MemoryMiningTables:
    """``mining_ports.MiningCatalogue`` in dictionaries; gone when it is."""

    def __init__(self) -> None:
        self._tasks: dict[str, MiningTaskRecord] = {}
        self._topics: dict[tuple[str, str], MinedTopicRecord] = {}
        self._transitions: dict[str, list[MiningTransition]] = {}
        self._pins: dict[tuple[str, str], TopicPin] = {}

    def list_mining_tasks(self) -> list[MiningTaskRecord]:
        return [self._tasks[connection] for connection in sorted(self._tasks)]

    def list_mined_topics(self) -> list[MinedTopicRecord]:
        return [self._topics[name] for name in sorted(self._topics)]

    def put_mining(
        self,
        tasks: Sequence[MiningTaskRecord],
        topics: Sequence[MinedTopicRecord],
        transitions: Sequence[MiningTransition],
    ) -> None:
        self._tasks.update({task.connection: task for task in tasks})
        for topic in topics:
            name = topic.connection, topic.topic
            if topic.state is TopicState.LEFT:
                self._topics.pop(name, None)
            else:
                self._topics[name] = topic
        for transition in transitions:
            kept = self._transitions.setdefault(transition.connection, [])
            kept.append(transition)
            del kept[:-TRANSITIONS_MAX]

    def list_mining_transitions(
        self, connection: str, topic: str, limit: int
    ) -> list[MiningTransition]:
        kept = self._transitions.get(connection, [])
        return [each for each in reversed(kept) if topic in ("", each.topic)][:limit]

    def forget_mining(self, connection: str) -> None:
        self._tasks.pop(connection, None)
        self._transitions.pop(connection, None)
        for topics in (self._topics, self._pins):
            for name in [name for name in topics if name[0] == connection]:
                del topics[name]

    def list_topic_pins(self) -> list[TopicPin]:
        return [self._pins[name] for name in sorted(self._pins)]

    def put_topic_pin(self, pin: TopicPin) -> None:
        self._pins[pin.connection, pin.topic] = pin

    def delete_topic_pin(self, connection: str, topic: str) -> None:
        self._pins.pop((connection, topic), None)
