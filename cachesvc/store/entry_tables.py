"""The part of the DuckDB catalogue in which topics and partitions begin: many of them at once."""

from collections.abc import Collection, Iterable

import pyarrow as pa

from cachesvc.model import TopicId
from cachesvc.store.epoch_tables import EpochTables
from cachesvc.store.execution import Tables
from cachesvc.store.ports import TopicEntry

_INCARNATION = [("connection", pa.string()), ("topic", pa.string()), ("incarnation", pa.int32())]
_INCARNATIONS = pa.schema(
    [*_INCARNATION, ("source_id", pa.string()), ("cause", pa.int32()), ("began_ms", pa.int64())]
)
_CLUSTERS = pa.schema([*_INCARNATION, ("cluster_id", pa.string())])
_PARTITIONS = pa.schema([*_INCARNATION, ("partition", pa.int32()), ("offset", pa.int64())])
_TOPICS = pa.schema([*_INCARNATION, ("epoch", pa.int64()), ("created_ms", pa.int64())])


class EntryTables(Tables):
    """Statements that put topics in, for a catalogue that can run statements."""

    leader_epochs: EpochTables

    def put_topics(self, entry: TopicEntry, now_ms: int) -> None:
        topics = {incarnation.topic: incarnation for incarnation in entry.incarnations}
        incarnations = _table(
            _INCARNATIONS,
            (
                (*_key(topic), incarnation.source_id, int(incarnation.cause or 0), now_ms)
                for topic, incarnation in topics.items()
            ),
        )
        clusters = _table(
            _CLUSTERS,
            (
                (*_key(topic), incarnation.cluster_id)
                for topic, incarnation in topics.items()
                if incarnation.cluster_id
            ),
        )
        partitions = _table(
            _PARTITIONS,
            (
                (each.connection, each.topic, each.incarnation, each.partition, offset)
                for each, offset in entry.starts.items()
            ),
        )
        with self._transaction():
            if incarnations.num_rows:
                self._run_with("new_incarnations", incarnations, "put_incarnations")
            if clusters.num_rows:
                self._run_with("new_clusters", clusters, "put_topic_clusters")
            if partitions.num_rows:
                self._run_with("new_partitions", partitions, "put_new_partitions")
                self._run_with("new_partitions", partitions, "put_new_mined_from")
            if entry.epochs:
                self.leader_epochs.put(entry.epochs)

    def raise_epochs(self, topics: Collection[TopicId], now_ms: int) -> dict[TopicId, int]:
        if not topics:
            return {}
        table = _table(_TOPICS, ((*_key(topic), 1, now_ms) for topic in set(topics)))
        rows = self._run_with("raised_topics", table, "raise_epochs")
        return {TopicId(*identity): epoch for *identity, epoch in rows}


def _key(topic: TopicId) -> tuple[str, str, int]:
    return topic.connection, topic.topic, topic.incarnation


def _table(schema: pa.Schema, rows: Iterable[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
