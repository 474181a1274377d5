"""The catalogue's table of leader epochs, on DuckDB."""

from collections.abc import Mapping

import pyarrow as pa

from cachesvc.model import PartitionId
from cachesvc.policy.leader_epochs import EpochHistory
from cachesvc.store.execution import Tables

_SCHEMA = pa.schema(
    [
        ("connection", pa.string()),
        ("topic", pa.string()),
        ("incarnation", pa.int32()),
        ("partition", pa.int32()),
        ("offsets", pa.list_(pa.int64())),
        ("epochs", pa.list_(pa.int32())),
    ]
)


class EpochTables(Tables):
    """``ports.LeaderEpochs``."""

    def list(self) -> dict[PartitionId, EpochHistory]:
        return {
            PartitionId(*identity): EpochHistory(tuple(zip(offsets, epochs, strict=True)))
            for *identity, offsets, epochs in self._run("list_leader_epochs")
        }

    def put(self, histories: Mapping[PartitionId, EpochHistory]) -> None:
        rows = [
            {
                "connection": partition.connection,
                "topic": partition.topic,
                "incarnation": partition.incarnation,
                "partition": partition.partition,
                "offsets": [offset for offset, _ in history.starts],
                "epochs": [epoch for _, epoch in history.starts],
            }
            for partition, history in histories.items()
        ]
        table = pa.Table.from_pylist(rows, _SCHEMA)
        self._run_with("new_leader_epochs", table, "put_leader_epochs")
