"""Sync tasks: records of the cache on their way into a sink."""

from cachesvc.sync.changes import CHANGE_SCHEMA, Changes, changes_of
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
from cachesvc.sync.sink import Check, Delivery, Sink, SinkKind, TaskContext
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
    "TaskContext",
    "TooManyRefused",
    "Transform",
    "TransformKind",
    "Transformed",
    "changes_of",
]
