"""What is known of mining, subscriptions and stores when alarms are looked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cachesvc.model import MiningState, PartitionId
from cachesvc.policy.cluster_identity import ForeignAddress


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A mining task: whether an operator stopped it, whether it failed, and why."""

    connection: str
    stopped: bool
    failed: bool
    cause: str


@dataclass(frozen=True, slots=True)
class MiningFacts:
    """A partition that is to be mined.

    Attributes:
        partition: Which.
        state: What its mining does.
        error: Why.
        lag_records: Offsets behind the source; None while it was not asked.
        lag_s: Seconds behind the source; None where that is not known.
    """

    partition: PartitionId
    state: MiningState
    error: str = ""
    lag_records: int | None = None
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class UnreadFacts:
    """A position with unread records behind it.

    Attributes:
        subscription: Whose.
        partition: Where.
        left_s: Seconds until retention may take the record there; 0 and below: it may be gone.
        retention_s: How long records stay.
        used_share: Of a limit of bytes or records of the topic, how much is as new as the record
            there or newer; above 1 it may be gone.
    """

    subscription: str
    partition: PartitionId
    left_s: float
    retention_s: float
    used_share: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """How full a store is that has a budget.

    Attributes:
        bytes_max: Its budget.
        kept_bytes: What of it may not go.
        full: Why nothing is mined into it; empty while that is not so.
    """

    bytes_max: int
    kept_bytes: int
    full: str


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """A subscription that fell out of retention and loads a partition anew, up to an offset."""

    subscription: str
    partition: PartitionId
    end_offset: int


@dataclass(frozen=True, slots=True)
class DescriptorFacts:
    """How many file descriptors the process has open, and may have."""

    in_use: int
    limit: int


@dataclass(frozen=True, slots=True)
class AwayFacts:
    """A store that does not take or give files.

    Attributes:
        store: Its name.
        error: Why.
        waiting_bytes: Of journals that wait for it.
        waiting_bytes_max: At so many nothing more is mined for it.
    """

    store: str
    error: str
    waiting_bytes: int
    waiting_bytes_max: int


@dataclass(frozen=True, slots=True)
class ForeignFacts:
    """Addresses of a connection that lead to other clusters.

    Attributes:
        addresses: They.
        cluster_id: Of the cluster that is meant.
    """

    addresses: tuple[ForeignAddress, ...]
    cluster_id: str


@dataclass(frozen=True, slots=True)
class DamageFacts:
    """A partition of which files were damaged.

    Attributes:
        partition: Which.
        files: What was found of late, each with what is wrong.
        mined_again: What has not yet been mined again, as ranges of offsets.
    """

    partition: PartitionId
    files: tuple[str, ...]
    mined_again: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LostFacts:
    """Records that were in a damaged file, and that the source has no more.

    Attributes:
        partition: Where.
        ranges: Their offsets.
        subscriptions: Who will come to them.
    """

    partition: PartitionId
    ranges: tuple[str, ...]
    subscriptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that alarms are made of.

    Attributes:
        tasks: Mining tasks.
        unreachable: Connections whose cluster does not answer, with the reason.
        mining: Partitions that are to be mined.
        unread: Positions with unread records.
        descriptors: File descriptors of the service; None where the system does not tell.
        foreign: Addresses that lead to other clusters, by connection.
        away: Stores that do not take or give files.
        stores: Those that have a budget, by name.
        damage: Partitions with damaged files.
        lost: What became a gap of that.
        recoveries: Subscriptions that load anew what they have lost.
    """

    tasks: Iterable[TaskFacts] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    mining: Iterable[MiningFacts] = ()
    unread: Iterable[UnreadFacts] = ()
    descriptors: DescriptorFacts | None = None
    foreign: Mapping[str, ForeignFacts] = field(default_factory=dict)
    stores: Mapping[str, StoreFacts] = field(default_factory=dict)
    damage: Iterable[DamageFacts] = ()
    lost: Iterable[LostFacts] = ()
    recoveries: Iterable[RecoveryFacts] = ()
    away: Iterable[AwayFacts] = ()
