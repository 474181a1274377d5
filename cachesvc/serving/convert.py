"""From request messages to checked values: every refusal names the field and what it may be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cachesvc.errors import InvalidRequest
from cachesvc.filters import Reduction
from cachesvc.model import (
    ArrowCompression,
    Bootstrap,
    Encoding,
    GapPolicy,
    Mode,
    PartitionId,
    Sharing,
)
from cachesvc.policy.topics import (
    check_expression,
    check_member_name,
    check_subscription_name,
    check_topic_name,
)
from cachesvc.serving import filter_messages
from cachesvc.serving.forms import Form
from cachesvc.serving.joined_batches import JOINED_BYTES_MAX
from cachesvc.v1 import log_cache_pb2 as pb

BATCH_BYTES_DEFAULT = 1 << 20
BATCH_BYTES_MIN = 64 << 10
BATCH_BYTES_MAX = 16 << 20
LENT_BYTES_DEFAULT = 2 << 20
"""What a batch has that is handed over in shared memory, of records as they are kept."""
_HEAD_BYTES_MAX = 4 << 10
TOPICS_MAX = 10_000

PartitionName = tuple[str, int]
"""Topic and partition number."""


@dataclass(frozen=True, slots=True)
class NamedOffset:
    """An offset in one incarnation of a topic; incarnation 0 means the present one.

    In commits of members also the epoch of the partition's assignment.
    """

    offset: int
    incarnation: int = 0
    epoch: int = 0


def partition_id(
    connection: str, name: PartitionName, at: NamedOffset, present: int
) -> PartitionId:
    """The partition that a position means, where ``present`` is the topic's present incarnation.

    Raises:
        InvalidRequest: The topic has not come to that incarnation (``UNKNOWN_INCARNATION``).
    """
    topic, number = name
    if at.incarnation > present:
        raise InvalidRequest(
            f"{topic} has no incarnation {at.incarnation}; the present one is {present}",
            reason="UNKNOWN_INCARNATION",
            metadata={"topic": topic, "incarnation": at.incarnation},
        )
    return PartitionId(connection, topic, at.incarnation or present, number)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A checked ``Start``: exactly one of the four, or none of them.

    Attributes:
        earliest: From each log's start.
        latest: From the source's end.
        timestamp_ms: From the first record not before this time.
        positions: Exactly there; None unless positions were asked for.
    """

    earliest: bool = False
    latest: bool = False
    timestamp_ms: int | None = None
    positions: Mapping[PartitionName, NamedOffset] | None = None


@dataclass(frozen=True, slots=True)
class SubscribeCall:
    """A checked ``SubscribeRequest``; see there."""

    subscription: str
    connection: str
    topics: tuple[str, ...]
    topic_expression: str
    mode: Mode
    start: StartRequest
    form: Form
    batch_bytes_max: int
    end: Mapping[PartitionName, NamedOffset]
    gap_policy: GapPolicy
    message_bytes_max: int = 0
    bootstrap: Bootstrap = Bootstrap.NONE
    joins_batches: bool = False
    reduction: Reduction | None = None
    sharing: Sharing = Sharing.EXCLUSIVE
    member: str = ""
    parquet_bytes_max: int = 0
    shared_memory: bytes = b""
    lent_bytes_max: int = LENT_BYTES_DEFAULT


def subscribe_call(request: pb.SubscribeRequest) -> SubscribeCall:
    """Checks a SubscribeRequest.

    Raises:
        InvalidRequest: A field is missing, out of range, or contradicts another.
    """
    check_subscription_name(request.subscription)
    topics = tuple(dict.fromkeys(request.topics))
    if bool(topics) == bool(request.topic_expression):
        raise InvalidRequest(
            "give either topics or topic_expression, and not both", reason="TOPICS_REQUIRED"
        )
    if len(topics) > TOPICS_MAX:
        raise InvalidRequest(f"topics: at most {TOPICS_MAX}, got {len(topics)}; use an expression")
    for topic in topics:
        check_topic_name(topic)
    if request.topic_expression:
        check_expression(request.topic_expression)
    if int(request.mode) not in Mode.__members__.values():
        raise InvalidRequest(
            "mode: give INCREMENTAL, FULL or FULL_AND_INCREMENTAL", reason="MODE_REQUIRED"
        )
    if int(request.encoding) not in (0, *Encoding.__members__.values()):
        raise InvalidRequest(
            f"encoding: {request.encoding} is not known; give RECORDS or ARROW_IPC",
            reason="UNKNOWN_ENCODING",
        )
    if int(request.gap_policy) not in (0, *GapPolicy.__members__.values()):
        raise InvalidRequest(
            f"gap_policy: {request.gap_policy} is not known; give STOP_AT_GAP, GO_ON_BEHIND_GAP or "
            "RECOVER_FROM_SNAPSHOT",
            reason="UNKNOWN_GAP_POLICY",
        )
    if int(request.arrow_compression) not in (0, *ArrowCompression.__members__.values()):
        raise InvalidRequest(
            f"arrow_compression: {request.arrow_compression} is not known; give LZ4, ZSTD or NONE",
            reason="UNKNOWN_ARROW_COMPRESSION",
        )
    batch_bytes = request.batch_bytes_max or BATCH_BYTES_DEFAULT
    if not BATCH_BYTES_MIN <= batch_bytes <= BATCH_BYTES_MAX:
        raise InvalidRequest(
            f"batch_bytes_max: {batch_bytes} is outside {BATCH_BYTES_MIN} to {BATCH_BYTES_MAX}"
        )
    if request.message_bytes_max < 0:
        raise InvalidRequest("message_bytes_max: give a positive number, or 0 for no limit")
    if not 0 <= request.parquet_bytes_max <= BATCH_BYTES_MAX:
        raise InvalidRequest(
            f"parquet_bytes_max: {request.parquet_bytes_max} is outside 0 to {BATCH_BYTES_MAX}"
        )
    return SubscribeCall(
        request.subscription,
        request.connection,
        topics,
        request.topic_expression,
        Mode(request.mode),
        start_request(request.start if request.HasField("start") else None),
        Form.of(
            Encoding(request.encoding or Encoding.ARROW_IPC),
            ArrowCompression(request.arrow_compression or ArrowCompression.LZ4),
        ),
        batch_bytes,
        positions("end", request.end.positions),
        GapPolicy(request.gap_policy or GapPolicy.STOP_AT_GAP),
        request.message_bytes_max,
        _bootstrap(request),
        # Rarely is less taken than what is joined; who says so has little room.
        request.joins_batches
        and (not request.message_bytes_max or request.message_bytes_max > JOINED_BYTES_MAX),
        filter_messages.reduction(request),
        _sharing(request),
        request.member,
        _parquet_bytes_max(request),
        request.shared_memory,
        _lent_bytes_max(request) or batch_bytes,
    )


def _lent_bytes_max(request: pb.SubscribeRequest) -> int:
    """How much a batch that is handed over may have; 0 for as much as any other.

    One that has to be sent after all has to fit into a message.
    """
    fits = not request.message_bytes_max or request.message_bytes_max > 2 * LENT_BYTES_DEFAULT
    return LENT_BYTES_DEFAULT if fits and not request.batch_bytes_max else 0


def _parquet_bytes_max(request: pb.SubscribeRequest) -> int:
    """How large a Parquet file in a batch may be, so that the message stays below its bound."""
    if request.encoding == pb.RECORDS or not request.message_bytes_max:
        return 0 if request.encoding == pb.RECORDS else request.parquet_bytes_max
    return max(0, min(request.parquet_bytes_max, request.message_bytes_max - _HEAD_BYTES_MAX))


def _bootstrap(request: pb.SubscribeRequest) -> Bootstrap:
    """Checks how a stream is to begin.

    Raises:
        InvalidRequest: It is not known, or contradicts the mode or the start.
    """
    number = int(request.bootstrap) or Bootstrap.NONE
    if number not in Bootstrap.__members__.values():
        raise InvalidRequest(
            f"bootstrap: {request.bootstrap} is not known; give NONE or SNAPSHOT",
            reason="UNKNOWN_BOOTSTRAP",
        )
    bootstrap = Bootstrap(number)
    if bootstrap is Bootstrap.NONE:
        if int(request.gap_policy) == GapPolicy.RECOVER_FROM_SNAPSHOT:
            raise InvalidRequest(
                "gap_policy: RECOVER_FROM_SNAPSHOT is for streams with bootstrap SNAPSHOT",
                reason="BOOTSTRAP_CONTRADICTED",
            )
        return bootstrap
    choice = request.start.WhichOneof("start")
    if int(request.mode) == Mode.INCREMENTAL or choice not in (None, "positions"):
        raise InvalidRequest(
            "bootstrap: SNAPSHOT begins where all records are wanted: give mode FULL or "
            "FULL_AND_INCREMENTAL, and no start but positions",
            reason="BOOTSTRAP_CONTRADICTED",
        )
    return bootstrap


def _sharing(request: pb.SubscribeRequest) -> Sharing:
    """Checks who is to read the subscription.

    Raises:
        InvalidRequest: It is not known, or contradicts something else.
    """
    number = int(request.sharing) or Sharing.EXCLUSIVE
    if number not in Sharing.__members__.values():
        raise InvalidRequest(
            f"sharing: {request.sharing} is not known; give EXCLUSIVE or SHARED",
            reason="UNKNOWN_SHARING",
        )
    sharing = Sharing(number)
    if request.member:
        check_member_name(request.member)
    if sharing is Sharing.EXCLUSIVE and request.member:
        raise InvalidRequest("member: is for sharing SHARED", reason="SHARING_CONTRADICTED")
    return sharing


def start_request(start: pb.Start | None) -> StartRequest:
    """Checks a ``Start``; one without a choice counts as none.

    Raises:
        InvalidRequest: A time or a position is out of range.
    """
    choice = start.WhichOneof("start") if start is not None else None
    if start is None or choice is None:
        return StartRequest()
    if choice == "earliest":
        return StartRequest(earliest=True)
    if choice == "latest":
        return StartRequest(latest=True)
    if choice == "timestamp_ms":
        return StartRequest(timestamp_ms=timestamp("start.timestamp_ms", start.timestamp_ms))
    return StartRequest(positions=positions("start.positions", start.positions.positions))


def timestamp(field: str, value: int) -> int:
    """Checks milliseconds since the Unix epoch.

    Raises:
        InvalidRequest: It is negative.
    """
    if value < 0:
        raise InvalidRequest(f"{field}: milliseconds since 1970, not {value}")
    return value


def positions(field: str, values: Iterable[pb.Position]) -> dict[PartitionName, NamedOffset]:
    """Checks positions; each partition at most once.

    Raises:
        InvalidRequest: As said.
    """
    found: dict[PartitionName, NamedOffset] = {}
    for value in values:
        check_topic_name(value.topic)
        name = (value.topic, value.partition)
        if value.offset < 0 or value.partition < 0:
            raise InvalidRequest(
                f"{field}: {value.topic}/{value.partition} at offset {value.offset}: partition "
                "and offset are never negative",
                reason="INVALID_POSITION",
            )
        if value.incarnation < 0:
            raise InvalidRequest(
                f"{field}: {value.topic} has no incarnation {value.incarnation}",
                reason="UNKNOWN_INCARNATION",
                metadata={"topic": value.topic, "incarnation": value.incarnation},
            )
        if name in found:
            raise InvalidRequest(
                f"{field}: {value.topic}/{value.partition} is named twice",
                reason="INVALID_POSITION",
            )
        found[name] = NamedOffset(value.offset, value.incarnation, value.epoch)
    return found
