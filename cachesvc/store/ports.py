"""What the log needs of a catalogue, as a port.

The service uses ``catalogue.DuckDBCatalogue``; ``memory_catalogue.MemoryCatalogue`` is its twin
without files. One conformance suite holds both to this contract. Every method is one transaction:
when it returns, its effect survives the death of the process; when it raises, nothing happened. It
raises ``StoreUnwritable`` where the disk does not take it.
Methods block and are called from one thread at a time.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cachesvc.model import (
    LOCAL_STORE,
    GapPolicy,
    LostRange,
    Mode,
    PartitionId,
    Segment,
    TopicId,
    TopicIncarnation,
)
from cachesvc.policy.blocking import Trouble
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.leader_epochs import EpochHistory
from cachesvc.store.access_port import AccessKept
from cachesvc.store.audit_port import Audit
from cachesvc.store.drops_port import Drops
from cachesvc.store.makers_port import MakersKept
from cachesvc.store.mining_ports import MiningCatalogue
from cachesvc.store.model_port import Models
from cachesvc.store.snapshot_port import Snapshots
from cachesvc.store.stores_port import StoresKept
from cachesvc.store.watching_port import Alarms, MiningCountsKept

JOB_RUNS_MAX = 1_000
"""Past runs of each job that a catalogue keeps."""


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """The durable side of a subscription, without its positions.

    Attributes:
        name: Unique in the store.
        connection: The connection it reads.
        topics: Topic names; empty when it has an expression.
        topic_expression: Empty when it has names.
        mode: What it is for.
        epoch: Of the newest subscriber, from 1.
        full_sync_done: Whether a full sync was committed to its end.
        created_ms: When it was first used.
        committed_ms: When a position was last committed; None if never.
        gap_policy: What its streams do at a gap.
    """

    name: str
    connection: str
    topics: tuple[str, ...]
    topic_expression: str
    mode: Mode
    epoch: int
    full_sync_done: bool
    created_ms: int
    committed_ms: int | None = None
    gap_policy: GapPolicy = GapPolicy.STOP_AT_GAP


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """A subscription to be entered or changed.

    Attributes:
        record: What it is then; ``created_ms`` of one that is there stays.
        positions: What is stored with it.
        drop_positions: Whether stored positions that are not among these are forgotten.
    """

    record: SubscriptionRecord
    positions: Mapping[PartitionId, int] = field(default_factory=dict)
    drop_positions: bool = False


@dataclass(frozen=True, slots=True)
class PositionCommit:
    """Positions to store for one subscription.

    Attributes:
        subscription: Its name; it exists.
        positions: The next offset to read, per partition.
        committed_ms: When; None for positions that no subscriber committed, such as a start.
        full_sync_done: Whether this commit completes a full sync.
    """

    subscription: str
    positions: Mapping[PartitionId, int]
    committed_ms: int | None
    full_sync_done: bool = False


@dataclass(frozen=True, slots=True)
class JobRunRecord:
    """A past run of a job; ``counts`` says what it did, by name."""

    name: str
    started_ms: int
    ended_ms: int
    succeeded: bool
    error: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """A connection that was made over Admin.

    Attributes:
        name: Unique in the store.
        settings_json: Its settings, without secrets.
        created_ms: When it was made.
        updated_ms: When its settings were last changed.
    """

    name: str
    settings_json: str
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class RetiredFile:
    """A file that the manifest named once.

    Attributes:
        retired_ms: When it stopped.
        store: Where the file lies.
        bytes: Its size; 0 if that is not known.
    """

    retired_ms: int
    store: str = LOCAL_STORE
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class TopicEntry:
    """What becomes known when topics get logs.

    Attributes:
        incarnations: Incarnations of topics, or what has become known of them.
        starts: New partitions, with the offset from which each is mined.
        epochs: Leader epochs from which what lies before such an offset was mined.
    """

    incarnations: Sequence[TopicIncarnation] = ()
    starts: Mapping[PartitionId, int] = field(default_factory=dict)
    epochs: Mapping[PartitionId, EpochHistory] = field(default_factory=dict)


class LeaderEpochs(Protocol):
    """Which leader epochs of the source each log was mined from."""

    def list(self) -> dict[PartitionId, EpochHistory]:
        """Of every partition of which something is known."""

    def put(self, histories: Mapping[PartitionId, EpochHistory]) -> None:
        """Enters or replaces what is known of some partitions, at once."""


class Clusters(Protocol):
    """Which clusters each connection has led to, rightly, as they call themselves."""

    def all(self) -> dict[str, list[str]]:
        """By connection, the present one last."""

    def add(self, connection: str, cluster_id: str, now_ms: int) -> None:
        """Enters the present one."""

    def forget(self, connection: str) -> None:
        """Forgets them; nothing happens if there are none."""


class Troubles(Protocol):
    """Partitions that are blocked, and those at which readers have died."""

    def list(self) -> dict[PartitionId, Trouble]:
        """What is known of each."""

    def put(self, changes: Mapping[PartitionId, Trouble | None]) -> None:
        """Enters, replaces or, with None, forgets what is known of some, at once."""


class Catalogue(MiningCatalogue, Protocol):
    """Manifest, snapshots, subscriptions, connections, jobs, mining, models, alarms and so on."""

    @property
    def clusters(self) -> Clusters:
        """Which clusters connections mean."""

    @property
    def leader_epochs(self) -> LeaderEpochs:
        """What is kept of the leader epochs of partitions."""

    @property
    def troubles(self) -> Troubles:
        """What is kept of partitions in trouble."""

    @property
    def models(self) -> Models:
        """What is kept of the models of topics."""

    @property
    def snapshots(self) -> Snapshots:
        """What is kept of snapshots."""

    @property
    def counts(self) -> MiningCountsKept:
        """What was mined of topics."""

    @property
    def alarms(self) -> Alarms:
        """Alarms, and what the webhook has not taken yet."""

    @property
    def drops(self) -> Drops:
        """What retention has dropped."""

    @property
    def stores(self) -> StoresKept:
        """Stores made over Admin, tests of stores, and what was moved where."""

    @property
    def makers(self) -> MakersKept:
        """Who made which subscription."""

    @property
    def access(self) -> AccessKept:
        """Principals, roles and tokens."""

    @property
    def audit(self) -> Audit:
        """Who changed what."""

    def list_partitions(self) -> dict[PartitionId, int]:
        """Every known partition with its log start offset."""

    def put_partition(self, partition: PartitionId, log_start_offset: int) -> None:
        """Enters a partition that is mined from this offset on, or moves the start of its log."""

    def list_mined_from(self) -> dict[PartitionId, int]:
        """Where mining of each partition began; what lies before was never cached."""

    def list_incarnations(self) -> list[TopicIncarnation]:
        """Every incarnation of every topic, ordered by topic and incarnation."""

    def put_topics(self, entry: TopicEntry, now_ms: int) -> None:
        """Enters incarnations of topics, or what has become known of them, and partitions, at once.

        Of an incarnation that is there the cluster's id is replaced, and nothing else.
        """

    def list_lost(self) -> dict[PartitionId, list[LostRange]]:
        """What the source had deleted before it was mined, in offset order."""

    def put_lost(self, partition: PartitionId, lost: LostRange, now_ms: int) -> None:
        """Enters a lost range; one that begins at the same offset is replaced."""

    def raise_epochs(self, topics: Collection[TopicId], now_ms: int) -> dict[TopicId, int]:
        """Gives topics new epochs, at once, each greater than all before; a topic's first is 1."""

    def list_segments(self) -> list[Segment]:
        """The manifest, ordered by partition and base offset."""

    def replace_segments(
        self, removed: Sequence[Segment], added: Sequence[Segment], now_ms: int
    ) -> None:
        """Publishes ``added`` and retires the files of ``removed``, at once."""

    def expire_segments(
        self, removed: Sequence[Segment], log_starts: Mapping[PartitionId, int], now_ms: int
    ) -> None:
        """Retires the files of ``removed`` and moves log starts up, at once."""

    def put_mined_times(self, segments: Sequence[Segment]) -> None:
        """Changes when segments were mined, at once; those that are not listed are left out."""

    def list_damaged(self) -> dict[PartitionId, list[OffsetRange]]:
        """What damaged files had, and was not mended yet, in offset order."""

    def put_damaged(
        self,
        partition: PartitionId,
        missing_ranges: Sequence[OffsetRange],
        whole: Sequence[Segment],
        log_starts: Mapping[PartitionId, int],
        now_ms: int,
        removed: Sequence[Segment] = (),
    ) -> None:
        """Publishes what is whole of a damaged file, and notes what is not, at once.

        Retires the files of ``removed``, where the manifest named the damaged one.
        """

    def forget_damaged(self, partition: PartitionId, missing: OffsetRange) -> None:
        """Forgets damage that is mended; nothing happens if there is none."""

    def list_scrubbed(self) -> set[str]:
        """Paths of segments that were found whole since the present pass over all of them began."""

    def put_scrubbed(self, paths: Collection[str]) -> None:
        """Enters more of them, at once."""

    def forget_scrubbed(self) -> None:
        """Ends the pass: the next one begins with all segments."""

    def list_retired(self) -> dict[str, RetiredFile]:
        """Paths that the manifest named once."""

    def forget_retired(self, paths: Iterable[str]) -> None:
        """Drops paths whose files are gone."""

    def list_subscriptions(self) -> list[SubscriptionRecord]:
        """All subscriptions, ordered by name."""

    def list_positions(self) -> dict[str, dict[PartitionId, int]]:
        """Stored positions by subscription; subscriptions without any are left out."""

    def put_subscriptions(self, changes: Sequence[SubscriptionChange]) -> None:
        """Enters or changes subscriptions, each once, with their positions, all at once."""

    def delete_subscription(self, name: str) -> None:
        """Forgets a subscription and its positions; nothing happens if there is none."""

    def deleted_epoch(self) -> int:
        """The highest epoch of all subscriptions that were deleted; 0 if none was."""

    def commit_positions(self, commits: Sequence[PositionCommit]) -> None:
        """Stores positions of many subscriptions at once; later ones win over earlier ones.

        They may be durable elsewhere than what ``copy_to`` copies until ``settle``.
        """

    def settle(self) -> None:
        """Sees to it that a copy from now on has every commit so far."""

    def add_job_run(self, run: JobRunRecord) -> None:
        """Appends to the history; the newest ``JOB_RUNS_MAX`` of each job are kept."""

    def list_job_runs(self, name: str, limit: int) -> list[JobRunRecord]:
        """Past runs of a job, or of all for an empty name, the newest first."""

    def list_paused_jobs(self) -> set[str]:
        """Jobs whose schedule is paused."""

    def set_job_paused(self, name: str, *, paused: bool) -> None:
        """Pauses or resumes a job's schedule."""

    def list_connections(self) -> list[ConnectionRecord]:
        """Connections that were made over Admin, ordered by name."""

    def put_connection(self, connection: ConnectionRecord) -> None:
        """Enters a connection, or changes one; ``created_ms`` of one that is there stays."""

    def delete_connection(self, name: str) -> None:
        """Forgets a connection; nothing happens if there is none."""

    def copy_to(self, path: Path) -> None:
        """Writes all of it, as of one moment, to a file that such a catalogue can be opened from.

        May be called while another call is under way. What is there is replaced.
        """

    def part_changes(self) -> int:
        """The number of the last change; further ones may be forgotten apart from those so far."""

    def forget_changes(self, number: int) -> None:
        """Lets go of what is kept of changes up to that one, for copies have them.

        Whoever has a copy can have it brought up to date by what is kept behind it.
        """

    def close(self) -> None:
        """Ends; idempotent."""
