"""Sync tasks: records of the cache on their way into a sink.

Names are imported when they are first taken: a task's process is to hear of signals before Arrow,
gRPC and all else that a task needs is there.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from cachesvc.sync.sink import (
        Check,
        Delivery,
        ForgettingSink,
        SharedSink,
        Sink,
        SinkKind,
        TaskContext,
    )
    from cachesvc.sync.task import Task, run_task
    from cachesvc.sync.task_file import load_task, parse_task
    from cachesvc.sync.transform import RefusedRow, Transform, Transformed, TransformKind

_HOMES = {
    "BatchRefused": "errors",
    "CHANGE_SCHEMA": "changes",
    "Changes": "changes",
    "ChangesRefused": "errors",
    "Check": "sink",
    "Delivery": "sink",
    "ForgettingSink": "sink",
    "InvalidTask": "errors",
    "Refusal": "errors",
    "RefusedRow": "transform",
    "SharedSink": "sink",
    "Sink": "sink",
    "SinkKind": "sink",
    "SyncError": "errors",
    "TargetFailed": "errors",
    "TargetUnavailable": "errors",
    "Task": "task",
    "TaskConfig": "config",
    "TaskContext": "sink",
    "TaskStatus": "runner.progress",
    "TooManyRefused": "errors",
    "Transform": "transform",
    "TransformKind": "transform",
    "Transformed": "transform",
    "Trouble": "runner.progress",
    "changes_of": "changes",
    "load_task": "task_file",
    "parse_task": "task_file",
    "run_task": "task",
}

__all__ = [
    "CHANGE_SCHEMA",
    "BatchRefused",
    "Changes",
    "ChangesRefused",
    "Check",
    "Delivery",
    "ForgettingSink",
    "InvalidTask",
    "Refusal",
    "RefusedRow",
    "SharedSink",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
