"""Where mining goes on."""

from collections.abc import Mapping

from cachesvc.assignment.readers import Assigned
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.policy.incarnations import in_incarnation_before


def resume_offsets(store: LogStore, assigned: Assigned) -> Mapping[int, int]:
    """Where mining goes on, per partition: the log's end, or -1 for the source's earliest."""
    found: dict[int, int] = {}
    for number in assigned.partitions:
        log = store.get(assigned.topic.partition(number))
        anywhere = log is None or (
            log.untouched and assigned.from_earliest and not _goes_on(store, log)
        )
        found[number] = -1 if log is None or anywhere else log.accepted_end_offset
    return found


def _goes_on(store: LogStore, log: PartitionLog) -> bool:
    """Whether an empty log begins where that of the one before ended, behind a truncation."""
    before = store.get(in_incarnation_before(log.id))
    truncated = store.incarnations.truncated_before(log.id.topic_id)
    return truncated and before is not None and before.accepted_end_offset == log.log_start_offset
