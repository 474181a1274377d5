"""Every error that a task raises on purpose.

    SyncError
    ├── InvalidTask         the task's file or arguments are wrong; change them
    ├── TargetUnavailable   the target does not answer for now; retriable
    ├── TargetFailed        the target refuses the task as a whole; somebody has to change something
    ├── ChangesRefused      the target refuses single changes, and says which
    ├── BatchRefused        something in a batch is refused, and nobody knows what
    └── TooManyRefused      more changes were refused than the task allows

Each names what, where and what to do. A sink raises those of the target; the runner does the rest:
it tries again, looks for the bad one among many, keeps apart what is refused, or ends the task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cachesvc.client import ClientError


class SyncError(Exception):
    """Root of all errors of a task.

    Attributes:
        reason: Machine-readable word in capitals, stable across versions.
        metadata: Details for programs, as text; no secret, and nothing of a record's content.
        retriable: Whether the same may succeed later without a change by anybody.
    """

    retriable: ClassVar[bool] = False
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})


class InvalidTask(SyncError):
    """A task's file or arguments are wrong; the message names the setting by its path."""

    default_reason = "INVALID_TASK"


class TargetUnavailable(SyncError):
    """The target does not answer, is busy with itself, or has no room; later it may succeed."""

    retriable = True
    default_reason = "TARGET_UNAVAILABLE"


class TargetFailed(SyncError):
    """The target refuses the task as a whole: not allowed, no such place."""

    default_reason = "TARGET_FAILED"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One change that cannot be written.

    Attributes:
        changes: Which of the delivery's ``changes``.
        row: Which of its rows.
        reason: Word in capitals, such as ``TOO_LARGE`` or ``NOT_NULL``.
        detail: For people.
    """

    changes: int
    row: int
    reason: str
    detail: str


class ChangesRefused(SyncError):
    """The target refuses single changes.

    What is not named in ``refusals`` may be written or not: the runner delivers it again.
    """

    default_reason = "CHANGES_REFUSED"

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        super().__init__(f"{first.reason}: {first.detail}")
        self.refusals = tuple(refusals)


class BatchRefused(SyncError):
    """Something in a delivery is refused; of a single change, that one.

    None of it, or some, was written: the runner delivers it again in smaller pieces.
    """

    default_reason = "BATCH_REFUSED"


class TooManyRefused(SyncError):
    """More changes were refused than the task allows."""

    default_reason = "TOO_MANY_REFUSED"


def call_of(error: BaseException) -> str:
    """Which call of the service failed, by which its log has it; empty where it was none."""
    request_id = error.request_id if isinstance(error, ClientError) else ""
    return f" (request {request_id})" if request_id else ""
