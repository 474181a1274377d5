"""How far mining is behind the source, in time and in bytes."""

from cachesvc.log.estimates import bytes_behind, newest_timestamp_ms
from cachesvc.log.partition_log import PartitionLog


def mining_lag_s(log: PartitionLog, now_ms: int) -> float | None:
    """Age of the newest record of a partition that is behind; None where that is not known."""
    if not log.mining_lag:
        return None if log.mining_lag is None else 0.0
    newest = newest_timestamp_ms(log)
    return None if newest is None else max(0.0, (now_ms - newest) / 1000)


def mining_lag_bytes(log: PartitionLog) -> int:
    """Estimate of what the missing records will take, by what the cached ones take."""
    span = log.log_end_offset - log.log_start_offset
    if not log.mining_lag or not span:
        return 0
    return bytes_behind(log, log.log_start_offset) * log.mining_lag // span
