"""What a caller can set, as values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import TypeAlias

from cachesvc.client.positions import PositionsLike
from cachesvc.v1.filters_pb2 import Filter

_BATCH_BYTES_USUAL = 1 << 20
_EPOCH = datetime.fromtimestamp(0, UTC)


class Mode(IntEnum):
    """What a subscription is for; decides where it starts when it has no stored position."""

    INCREMENTAL = 1
    """From the latest offset of each partition; never ends."""
    FULL = 2
    """From the earliest offset to the source's end as it was when the stream started."""
    FULL_AND_INCREMENTAL = 3
    """From the earliest offset, from the latest after a full sync; never ends."""


class Encoding(IntEnum):
    """How a batch carries its records."""

    RECORDS = 1
    """One message a record; several times slower."""
    ARROW_IPC = 2
    """Columns in compressed Arrow buffers."""


class ArrowCompression(IntEnum):
    """How the buffers of Arrow batches are compressed on their way."""

    LZ4 = 1
    """As the service keeps them; the fastest."""
    ZSTD = 2
    """About half the bytes, decoded more slowly: for narrow links."""
    NONE = 3
    """Several times the bytes: for readers of the buffers that have no codec."""


class GapPolicy(IntEnum):
    """What a stream does at a range that cannot be given any more, once it has told it."""

    STOP = 1
    """End with ``DataLoss``."""
    GO_ON = 2
    """Go on behind it."""
    RECOVER_FROM_SNAPSHOT = 3
    """End with ``DataLoss``; the next stream loads the partition anew, if a snapshot reaches beyond
    the gap: then ``DataLoss.recovers_from_snapshot`` is true. For streams with
    ``Bootstrap.SNAPSHOT``."""


class Bootstrap(IntEnum):
    """How a stream begins that has no stored position, where all records are wanted."""

    NONE = 1
    """With the earliest record."""
    SNAPSHOT = 2
    """With the latest record per key up to a position, then everything from there on."""


class Sharing(IntEnum):
    """Who reads a subscription."""

    EXCLUSIVE = 1
    """One stream; a newer one takes the subscription over."""
    SHARED = 2
    """Several streams, its members, of which each has some of the partitions."""


@dataclass(frozen=True, slots=True)
class Earliest:
    """Start at the lowest offset of each partition that the cache or the source has."""


@dataclass(frozen=True, slots=True)
class Latest:
    """Start at the source's end of each partition at the time of the call."""


@dataclass(frozen=True, slots=True)
class AtTimestamp:
    """Start at the first record of each partition whose timestamp is not before this.

    Attributes:
        at: Milliseconds since the Unix epoch, or a datetime with a time zone.
    """

    at: int | datetime

    def __post_init__(self) -> None:
        if isinstance(self.at, datetime) and self.at.tzinfo is None:
            raise ValueError("a datetime without a time zone can mean many instants; give it one")

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since the Unix epoch; a datetime is rounded up."""
        if isinstance(self.at, int):
            return self.at
        return -((_EPOCH - self.at) // timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class Projection:
    """What the service leaves out of every record; at most one of the three about values.

    Attributes:
        without_value: Values are ``{}``, so that a tombstone can still be told from others.
        without_headers: There are none.
        fields: Of values, these fields are all that stays, by paths such as ``after.price``. A dot
            in a name has a backslash before it.
        without_fields: Of values, these fields go.
    """

    without_value: bool = False
    without_headers: bool = False
    fields: Sequence[str] = ()
    without_fields: Sequence[str] = ()


Start: TypeAlias = Earliest | Latest | AtTimestamp | PositionsLike
"""Where to start; partitions that positions do not name start at their stored ones."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How to trust the service, and how it trusts us.

    Attributes:
        ca_file: PEM file of the authorities that may vouch for the service; None means those that
            come with gRPC.
        cert_file: PEM file of the client's own certificate, where the service asks for one.
        key_file: PEM file of its private key.
        server_name: The name the service's certificate has to carry, where that is not the target.
    """

    ca_file: str | Path | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a stream deals with time and with trouble.

    Attributes:
        reconnect_delay_first_s: Upper bound of the wait before the first attempt to connect again;
            it doubles with every attempt that fails. The wait itself is drawn at random below it.
        reconnect_delay_max_s: Where that bound stops growing.
        give_up_after_s: How long in all a stream tries to connect before it raises what is in the
            way; None means for ever.
        silence_max_s: How long a connection may bring nothing at all before it counts as lost. The
            service speaks at least every few seconds.
        commit_timeout_s: How long a commit may take, the wait for a new connection included.
        batches_buffered_max: Batches held ready for the caller. Besides them a stream holds one
            that waits to get in, the one in the caller's hands, and what gRPC receives ahead,
            about 4 MiB; all as encoded.
        shared_memory: Whether records may be taken from memory that the service shares, where it is
            on this machine: decoded by the service, once for all its streams. Then a batch, or
            whatever was made of it without a copy, keeps some of that memory.
    """

    reconnect_delay_first_s: float = 0.1
    reconnect_delay_max_s: float = 10.0
    give_up_after_s: float | None = 600.0
    silence_max_s: float = 60.0
    commit_timeout_s: float = 30.0
    batches_buffered_max: int = 2
    shared_memory: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.reconnect_delay_first_s <= self.reconnect_delay_max_s:
            raise ValueError("reconnect_delay_first_s has to be in (0, reconnect_delay_max_s]")
        if self.batches_buffered_max < 1:
            raise ValueError("batches_buffered_max has to be at least 1")


@dataclass(frozen=True, slots=True)
class Subscribe:
    """What a stream asks for; fields as in ``cachesvc.v1.SubscribeRequest``."""

    subscription: str
    mode: Mode
    topics: tuple[str, ...] = ()
    topic_expression: str = ""
    connection: str = ""
    start: Start | None = None
    end: PositionsLike | None = None
    encoding: Encoding = Encoding.ARROW_IPC
    arrow_compression: ArrowCompression = ArrowCompression.LZ4
    batch_bytes_max: int = 0
    gap_policy: GapPolicy = GapPolicy.STOP
    bootstrap: Bootstrap = Bootstrap.NONE
    filter: str | Filter = ""
    projection: Projection | None = None
    sharing: Sharing = Sharing.EXCLUSIVE
    member: str = ""
    settings: StreamSettings = field(default_factory=StreamSettings)

    @property
    def takes_as_kept(self) -> bool:
        """Whether batches may have the form and the size that suit the service best."""
        # Else it was chosen.
        usual = self.arrow_compression is ArrowCompression.LZ4
        # Row groups have many records in few bytes: not for who wants batches smaller than usual.
        small = 0 < self.batch_bytes_max < _BATCH_BYTES_USUAL
        return self.encoding is Encoding.ARROW_IPC and usual and not small
