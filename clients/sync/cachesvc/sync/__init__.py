"""Sync tasks: records of the cache on their way into a sink."""

from cachesvc.sync.changes import CHANGE_SCHEMA, Changes, changes_of
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.errors import (
    BatchRefused,
    ChangesRefused,
    InvalidTask,
    Refusal,
    SyncError,
    TargetFailed,
    TargetUnavailable,
    TooManyRefused,
)
from cachesvc.sync.runner.progress import TaskStatus, Trouble
from cachesvc.sync.sink import Check, Delivery, Sink, SinkKind, TaskContext
from cachesvc.sync.task import Task, run_task
from cachesvc.sync.task_file import load_task, parse_task
from cachesvc.sync.transform import RefusedRow, Transform, Transformed, TransformKind

__all__ = [
    "CHANGE_SCHEMA",
    "BatchRefused",
    "Changes",
    "ChangesRefused",
    "Check",
    "Delivery",
    "InvalidTask",
    "Refusal",
    "RefusedRow",
    "Sink",
    "SinkKind",
    "SyncError",
    "TargetFailed",
    "TargetUnavailable",
    "Task",
    "TaskConfig",
    "TaskContext",
    "TaskStatus",
    "TooManyRefused",
    "Transform",
    "TransformKind",
    "Transformed",
    "Trouble",
    "changes_of",
    "load_task",
    "parse_task",
    "run_task",
]
