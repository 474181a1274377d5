"""What messages say, in the words that commands and pages share."""

from cachesvc.units import show_bytes, show_count, show_time
from cachesvc.v1.admin_pb2 import JobRun
from cachesvc.v1.mining_tasks_pb2 import MiningTask


def retention_of(task: MiningTask) -> str:
    """How long what is mined stays."""
    parts = [
        text
        for field, text in (
            ("retention_days", f"{task.retention_days:g} days"),
            ("retention_bytes", f"{show_bytes(task.retention_bytes)} of each topic"),
            ("retention_records", f"{show_count(task.retention_records)} records of each topic"),
        )
        if task.HasField(field)
    ]
    return ", ".join(parts) or "as configured"


def start_of(task: MiningTask) -> str:
    """Where mining begins of topics that are not cached yet."""
    kind = task.start.WhichOneof("start") or "-"
    return show_time(task.start.timestamp_ms) if kind == "timestamp_ms" else kind


def done_by(run: JobRun) -> str:
    """What a run of a job that succeeded did."""
    counts = [f"{name} {count:,}" for name, count in sorted(run.counts.items()) if count]
    return ", ".join(counts) or "nothing to do"
