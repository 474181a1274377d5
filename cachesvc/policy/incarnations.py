"""Which incarnation of a topic a cluster has now.

Invariant: an incarnation never goes back, and the next one begins only where the cluster shows that
what it has under this name is no continuation of what was mined: another topic id, an end before
the log's end, or other records before it; or where an operator has accepted another cluster.
"""

from dataclasses import replace

from cachesvc.model import GapCause, PartitionId, TopicId, TopicIncarnation


def incarnation_now(
    known: TopicIncarnation, found_id: str, *, truncated: bool, cluster_id: str = ""
) -> TopicIncarnation:
    """The incarnation that a topic is in.

    Args:
        known: The present one, as far as the store knows.
        found_id: The cluster's id of the topic; empty if it has no such ids or was not asked.
        truncated: Whether a reader found that the source has lost records that were mined.
        cluster_id: Of the cluster that has the topic now; empty if that is not known.

    Returns:
        ``known``, perhaps with its id learnt, or the next incarnation with the reason for it.
    """
    if cluster_id and known.cluster_id not in ("", cluster_id):
        return TopicIncarnation(
            next_incarnation(known.topic), found_id, GapCause.SOURCE_CHANGED, cluster_id
        )
    cluster_id = cluster_id or known.cluster_id
    if found_id and known.source_id and found_id != known.source_id:
        return TopicIncarnation(
            next_incarnation(known.topic), found_id, GapCause.TOPIC_RECREATED, cluster_id
        )
    if truncated:
        # Without ids nobody can tell a topic that was created again.
        cause = GapCause.SOURCE_TRUNCATED if known.source_id else GapCause.TOPIC_RECREATED
        source_id = found_id or known.source_id
        return TopicIncarnation(next_incarnation(known.topic), source_id, cause, cluster_id)
    return replace(known, source_id=found_id or known.source_id, cluster_id=cluster_id)


def first_offset(
    cause: GapCause | None, earliest: int, source_end: int, log_end: int | None
) -> int:
    """Where the log of a partition begins in a new incarnation.

    After a truncation the partitions that have lost nothing go on where they are. One that has lost
    something begins at the source's earliest offset, for nobody can tell which of the offsets that
    were mined have other records now.

    Args:
        cause: Why the incarnation began; None for a topic's first one.
        earliest: The lowest offset that the source has.
        source_end: The source's end.
        log_end: The end of the log in the incarnation before; None without one, or where the source
            is known to have lost something of it.
    """
    untouched = log_end is not None and earliest <= log_end <= source_end
    if cause is GapCause.SOURCE_TRUNCATED and untouched:
        assert log_end is not None
        return log_end
    return earliest


def in_incarnation_before(partition: PartitionId) -> PartitionId:
    """The same partition in the incarnation before; there may have been none."""
    return replace(partition, incarnation=partition.incarnation - 1)


def next_incarnation(topic: TopicId) -> TopicId:
    """The incarnation that follows one."""
    return replace(topic, incarnation=topic.incarnation + 1)
