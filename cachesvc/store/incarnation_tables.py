"""The part of the DuckDB catalogue that keeps incarnations of topics, and what they have lost."""

from cachesvc.model import GapCause, LostRange, PartitionId, TopicId, TopicIncarnation
from cachesvc.store.execution import Tables


class IncarnationTables(Tables):
    """Statements on incarnations and lost ranges, for a catalogue that can run statements."""

    def list_incarnations(self) -> list[TopicIncarnation]:
        return [
            TopicIncarnation(
                TopicId(*row[:3]), row[3], GapCause(row[4]) if row[4] else None, row[5]
            )
            for row in self._run("list_incarnations")
        ]

    def list_lost(self) -> dict[PartitionId, list[LostRange]]:
        found: dict[PartitionId, list[LostRange]] = {}
        for *identity, begin, end, cause in self._run("list_lost"):
            lost = LostRange(begin, end, GapCause(cause))
            found.setdefault(PartitionId(*identity), []).append(lost)
        return found

    def put_lost(self, partition: PartitionId, lost: LostRange, now_ms: int) -> None:
        row = (*key_of(partition), lost.begin, lost.end, int(lost.cause), now_ms)
        self._run("put_lost", *row)


class ClusterTables(Tables):
    """``ports.Clusters``."""

    def all(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for connection, cluster_id in self._run("list_clusters"):
            found.setdefault(connection, []).append(cluster_id)
        return found

    def add(self, connection: str, cluster_id: str, now_ms: int) -> None:
        self._run("add_cluster", connection, cluster_id, now_ms)

    def forget(self, connection: str) -> None:
        self._run("forget_clusters", connection)


def key_of(partition: PartitionId) -> tuple[str, str, int, int]:
    """The columns by which tables name a partition."""
    return partition.connection, partition.topic, partition.incarnation, partition.partition
