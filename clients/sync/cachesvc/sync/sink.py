"""The protocol of sinks: where a task's changes go.

A sink is found by its kind, through the entry point group ``cachesvc.sinks``; each names a
``SinkKind``. So a package of a stranger's adds one:

    [project.entry-points."cachesvc.sinks"]
    redis = "my_package.redis_sink:REDIS"

The runner calls one method at a time, all on one event loop. What blocks or computes for long goes
to a thread of the sink's own.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from cachesvc.client import Positions, TopicModel
from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import InvalidTask

ENTRY_POINTS = "cachesvc.sinks"
"""The entry point group of kinds."""
ONE_OWNER = (
    "keeps the positions of all partitions for one task, so tasks cannot share it: leave "
    'source.sharing "exclusive", or give each task topics of its own'
)
"""What is wrong where tasks share a subscription and their sinks have no `SharedSink`'s answer."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a sink gets at once: changes of some partitions, those of each in offset order.

    One partition may come more than once; then its changes follow one another.

    Attributes:
        changes: Not empty; some may have no rows, where all of them were dropped.
        positions: Where the task goes on behind this, in every partition it names.
    """

    changes: Sequence[Changes]
    positions: Positions

    @property
    def row_count(self) -> int:
        """Number of changes."""
        return sum(map(len, self.changes))


@dataclass(frozen=True, slots=True)
class Check:
    """What a check of a sink found.

    Attributes:
        name: What was tried, such as ``connect`` or ``write``.
        passed: Whether it works.
        detail: What was seen.
        hint: What to do where it does not; empty otherwise.
    """

    name: str
    passed: bool
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SourceView:
    """What a sink may know of what its task reads.

    Attributes:
        topics: Their names; empty where an expression selects them.
        topic_expression: RE2, of whole names.
        cluster_id: Asks the service what the source's cluster calls itself; empty as long as nobody
            knows. Raises `ClientError` where the service does not answer.
    """

    topics: Sequence[str]
    topic_expression: str
    cluster_id: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a sink knows of its task.

    Attributes:
        task: Its name; what a sink keeps of a task, it keeps under that.
        connection: The connection of the service that the source belongs to; may be empty.
        models: Asks the service which fields the records of the task's topics have, before any
            transform; the models of all of them. None where there is nobody to ask. Raises
            `TargetFailed` while there is no model of one (``MODEL_MISSING``), `TargetUnavailable`
            while the service does not answer.
        source: What it reads.
        shared: Whether other tasks of its subscription have the same target, each with some of the
            partitions. ``task`` is the name of the subscription then, which all have in common.
    """

    task: str
    connection: str = ""
    models: Callable[[], Awaitable[Sequence[TopicModel]]] | None = None
    source: SourceView | None = None
    shared: bool = False

    def check_sole_owner(self) -> None:
        """For a sink whose target has one owner of all positions, as its kind makes it.

        Raises:
            InvalidTask: Other tasks have the same target.
        """
        if self.shared:
            raise InvalidTask(f"this sink {ONE_OWNER}")


class Sink(Protocol):
    """Takes deliveries. Belongs to one event loop; one call at a time.

    Every method raises `TargetUnavailable` for what may pass and `TargetFailed` for what does not.
    """

    async def open(self) -> Positions | None:
        """Connects, and makes what is missing at the target, where the settings say so.

        Called again after each `TargetUnavailable`, of an open sink as well.

        Returns:
            How far the target has this task's changes, where it keeps that together with them: the
            runner goes on there, whatever the service has stored. Empty where it has none yet; None
            where it keeps none.
        """

    async def write(self, delivery: Delivery) -> None:
        """Writes a delivery; when this returns, the target has confirmed all of it.

        Deliveries come in order. One that raised comes again, as a whole or in parts. Cancelled, it
        may be written or not.

        Raises:
            ChangesRefused: Single changes can never be written.
            BatchRefused: Something in it cannot, and the sink does not know what.
        """

    async def check(self) -> Sequence[Check]:
        """Tries what ``write`` will need, and leaves nothing behind; in the order tried."""

    async def close(self) -> None:
        """Lets go of everything. Idempotent; also of a sink that was never open."""


@runtime_checkable
class ForgettingSink(Sink, Protocol):
    """A sink whose target may keep the task's positions, and can be made to forget them."""

    async def forget(self) -> None:
        """Has the target keep no position of this task any more; what was written stays.

        Of an open sink. When this returns, ``open`` finds none.
        """


@runtime_checkable
class SharedSink(Sink, Protocol):
    """A sink whose target keeps positions, and that tasks of one subscription may have together.

    ``write`` holds each partition of a delivery against its position at the target, as ``open``,
    ``read_positions`` or ``write`` told it last: where that has moved since, it raises
    `TargetUnavailable` and nothing of the delivery is written, whoever moved it.
    """

    async def read_positions(self) -> Positions:
        """How far the target has every partition now. Of an open sink."""


@dataclass(frozen=True, slots=True)
class SinkKind:
    """A kind of sink.

    Attributes:
        settings: A ``msgspec.Struct`` that forbids unknown fields: ``[sink]`` without its ``kind``.
        make: Makes one. Raises `InvalidTask` where settings do not go together; does no I/O.
    """

    settings: type[Any]
    make: Callable[[Any, TaskContext], Sink]
