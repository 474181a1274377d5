"""The protocol of transforms: what a task does with changes on their way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cachesvc.sync.changes import Changes


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that a transform cannot deal with.

    Attributes:
        row: Which one of the changes that it was given.
        reason: Word in capitals, such as ``CAST_FAILED``.
        detail: For people; names field and type, not the value.
    """

    row: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Transformed:
    """What became of some changes.

    Attributes:
        changes: What goes on its way, in offset order; perhaps without rows.
        refused: What does not; the runner keeps those rows apart, as they came, or ends the task.
    """

    changes: Changes
    refused: Sequence[RefusedRow] = ()


class Transform(Protocol):
    """Changes records, whole batches at a time. Called in a thread, one call at a time."""

    def apply(self, changes: Changes) -> Transformed:
        """What becomes of these changes. Keeps no reference to them, and none of what it gives."""


@dataclass(frozen=True, slots=True)
class TransformKind:
    """A kind of transform.

    Attributes:
        settings: A ``msgspec.Struct`` that forbids unknown fields: a table of ``[[transforms]]``
            without its ``kind``.
        make: Makes one. Raises `InvalidTask` where settings do not go together.
    """

    settings: type[Any]
    make: Callable[[Any], Transform]
