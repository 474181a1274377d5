"""The catalogue's table of partitions in trouble, on DuckDB."""

from collections.abc import Mapping

from cachesvc.model import PartitionId
from cachesvc.policy.blocking import Blockage, BlockReason, Trouble
from cachesvc.store.execution import Tables


class TroubleTables(Tables):
    """``ports.Troubles``."""

    def list(self) -> dict[PartitionId, Trouble]:
        found = {}
        for row in self._run("list_troubles"):
            identity, (reason, at, size, detail), facts = row[:4], row[4:8], row[8:]
            blockage = Blockage(BlockReason(reason), at, size, detail)
            found[PartitionId(*identity)] = Trouble(blockage, *facts)
        return found

    def put(self, changes: Mapping[PartitionId, Trouble | None]) -> None:
        with self._transaction():
            for partition, trouble in changes.items():
                identity = (
                    partition.connection,
                    partition.topic,
                    partition.incarnation,
                    partition.partition,
                )
                if trouble is None:
                    self._run("delete_trouble", *identity)
                    continue
                blockage = trouble.blockage
                self._run(
                    "put_trouble",
                    *identity,
                    blockage.reason.value,
                    blockage.offset,
                    blockage.bytes,
                    blockage.detail,
                    trouble.blocked,
                    trouble.since_ms,
                    trouble.deaths,
                    trouble.tries,
                    trouble.retry_ms,
                    trouble.end,
                    trouble.alone,
                )
