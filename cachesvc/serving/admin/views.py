"""Messages that show the state of readers, topics, files and jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cachesvc.assignment.readers import JoinedReader
from cachesvc.log.locations import JournalEntry
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState, PartitionId, Segment, TopicId
from cachesvc.serving.ports import JobProgress, JobState
from cachesvc.serving.views import partition_offsets, waiting_partitions
from cachesvc.store.ports import JobRunRecord
from cachesvc.v1 import admin_pb2 as pb
from cachesvc.v1.watching_pb2 import ReaderFigures

# The state of a topic is that of its partition which needs most attention.
_BY_URGENCY = (
    MiningState.FAILED,
    MiningState.BLOCKED,
    MiningState.SOURCE_UNREACHABLE,
    MiningState.THROTTLED,
    MiningState.MINING,
    MiningState.STARTING,
    MiningState.STOPPED,
    MiningState.PAUSED,
)


def reader(joined: JoinedReader, bytes_per_s: float) -> pb.Reader:
    """A reader process with its topics."""
    return pb.Reader(
        name=joined.name,
        connection=joined.connection,
        pid=joined.pid,
        joined_ms=joined.joined_ms,
        topics=sorted(joined.assigned),
        host=joined.host,
        bytes_per_second=bytes_per_s,
        source_error=joined.source_error,
        throttled_ms=joined.throttled_ms,
        figures=ReaderFigures(**asdict(joined.figures)) if joined.figures else None,
    )


def topic_state(
    logs: Sequence[PartitionLog], waiting: Mapping[int, str], *, needed: bool
) -> tuple[MiningState, str]:
    """What mining of a topic does, and why where that needs a reason.

    Args:
        logs: Of the topic's partitions.
        waiting: Partitions that have no log yet, and why.
        needed: Whether somebody wants the topic.
    """
    found = dict.fromkeys(waiting.values(), MiningState.SOURCE_UNREACHABLE)
    states = [*((log.source.state, log.source.error) for log in logs)]
    states += [(state, why) for why, state in found.items()]
    for state in _BY_URGENCY:
        for each, error in states:
            if each is state:
                return state, error
    return MiningState.STARTING if needed else MiningState.IDLE, ""


def topic(
    topic_id: TopicId, logs: Sequence[PartitionLog], store: LogStore, *, needed: bool
) -> pb.Topic:
    """A topic and what is cached of it."""
    state, error = topic_state(logs, store.waiting.of_topic(topic_id), needed=needed)
    partitions = [partition_offsets(log, store) for log in logs]
    partitions += waiting_partitions(topic_id, store)
    partitions.sort(key=lambda each: each.partition)
    all_logs = [each for log in logs for each in store.ranges.of(log.id)]
    segments = [segment for log in all_logs for segment in log.segments]
    journals = [entry for log in all_logs for entry in log.journals]
    open_journals = [entry for entry in journals if not entry.sealed]
    return pb.Topic(
        connection=topic_id.connection,
        name=topic_id.topic,
        incarnation=topic_id.incarnation,
        needed=needed,
        mining_state=int(state),  # type: ignore[arg-type]
        mining_error=error,
        partitions=partitions,
        segment_count=len(segments),
        segment_bytes=sum(segment.bytes for segment in segments),
        journal_bytes=sum(entry.bytes for entry in journals),
        reject_count=sum(segment.reject_count for segment in segments)
        + sum(entry.index.reject_count for entry in open_journals if entry.index),
    )


def segment(found: Segment) -> pb.Segment:
    """A live segment."""
    partition = found.partition
    return pb.Segment(
        connection=partition.connection,
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        base_offset=found.base_offset,
        end_offset=found.end_offset,
        record_count=found.record_count,
        bytes=found.bytes,
        min_timestamp_ms=found.min_timestamp_ms,
        max_timestamp_ms=found.max_timestamp_ms,
        created_ms=found.created_ms,
        level=found.level,
        path=found.path,
        reject_count=found.reject_count,
        oldest_mined_ms=found.oldest_mined_ms,
        newest_mined_ms=found.newest_mined_ms,
    )


def journal(log: PartitionLog, entry: JournalEntry, store: Path) -> pb.Journal:
    """A journal on disk."""
    state = pb.WARM if entry.sealed else pb.SEALING if entry.file is None else pb.ACTIVE
    return pb.Journal(
        connection=log.id.connection,
        topic=log.id.topic,
        partition=log.id.partition,
        incarnation=log.id.incarnation,
        base_offset=entry.base_offset,
        end_offset=entry.end_offset,
        record_count=entry.index.record_count if entry.index else 0,
        bytes=entry.bytes,
        state=state,
        path=entry.path.relative_to(store).as_posix(),
    )


def reject(partition: PartitionId, row: Mapping[str, Any]) -> pb.Reject:
    """A record that the JSON rule turned away; ``row`` has the columns of the reject schema."""
    return pb.Reject(
        connection=partition.connection,
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        offset=row["offset"],
        timestamp_ms=row["timestamp"],
        reason=row["reason"],
        detail=row["detail"],
        key=row["key"],
        value=row["value"],
    )


def job(state: JobState) -> pb.Job:
    """A job and its schedule."""
    return pb.Job(
        name=state.job.name,
        description=state.job.description,
        interval_s=state.job.interval_s,
        paused=state.paused,
        running=state.running,
        next_run_ms=state.next_run_ms,
        last_run=job_run(state.last_run) if state.last_run else None,
        daily_at=state.daily_at,
    )


def job_run(run: JobRunRecord) -> pb.JobRun:
    """A past run."""
    return pb.JobRun(
        name=run.name,
        started_ms=run.started_ms,
        ended_ms=run.ended_ms,
        succeeded=run.succeeded,
        error=run.error,
        counts=dict(run.counts),
    )


def job_progress(progress: JobProgress) -> pb.RunJobResponse:
    """How far a run is."""
    return pb.RunJobResponse(
        done=progress.done,
        total=progress.total,
        message=progress.message,
        run=job_run(progress.run) if progress.run else None,
    )
