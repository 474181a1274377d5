"""Everything that says what is to be mined and by whom, beside what subscriptions want."""

from collections.abc import Callable
from dataclasses import dataclass

from cachesvc.assignment.blocked import BlockedPartitions
from cachesvc.assignment.loads import Loads
from cachesvc.assignment.mining_commands import MiningCommands
from cachesvc.assignment.mining_records import MiningRecords
from cachesvc.assignment.mining_tasks import MiningTasks
from cachesvc.assignment.pins import TopicPins
from cachesvc.log.catalogue_thread import CatalogueThread


@dataclass(frozen=True, slots=True)
class Mining:
    """The mining of one store.

    Attributes:
        tasks: What is to be mined, and why what is not.
        commands: What operators may do about it.
        pins: Topics that were given to one reader.
        loads: What was mined of each topic.
        records: Where it is durable.
        blocked: Partitions that have stopped at one record.
    """

    tasks: MiningTasks
    commands: MiningCommands
    pins: TopicPins
    loads: Loads
    records: MiningRecords
    blocked: BlockedPartitions

    @classmethod
    def open(
        cls,
        catalogue: CatalogueThread,
        idle_topic_s: float,
        rebalance_interval_s: float,
    ) -> "Mining":
        """As the catalogue has it. Blocking.

        Args:
            catalogue: Where it is durable.
            idle_topic_s: How long a topic may go unused before its mining is paused.
            rebalance_interval_s: How often topics may move because loads have changed.
        """
        records = MiningRecords(catalogue)
        tasks = MiningTasks(records, idle_topic_s)
        return cls(
            tasks,
            MiningCommands(tasks, records),
            TopicPins(catalogue),
            Loads(rebalance_interval_s),
            records,
            BlockedPartitions(catalogue),
        )

    async def forget(self, connection: str) -> None:
        """Forgets the task of a connection that was deleted, and its pins. Idempotent."""
        self.tasks.forget(connection)
        self.pins.forget(connection)
        self.blocked.forget(connection)
        await self.records.forget(connection)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` whenever what is to be mined, or by whom, may have changed."""
        self.tasks.on_change = listener
        self.pins.on_change = listener
        self.blocked.on_change = listener
