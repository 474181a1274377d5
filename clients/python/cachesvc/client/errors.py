"""Every error that the client raises on purpose.

    ClientError
    ├── InvalidRequest            the caller's input is wrong; change it
    │   └── PositionNotDelivered  a commit beyond what was handed out
    ├── NotFound                  what was named does not exist
    ├── PreconditionFailed        the state of things forbids it for now
    ├── AccessDenied              not allowed, or not known who asks
    ├── Superseded                this stream's place is gone; stop
    │   ├── SubscriptionTakenOver   a newer subscriber has the subscription
    │   ├── SubscriptionReset       its positions were replaced
    │   └── SubscriptionDeleted     it is no more
    ├── PartitionRevoked          a partition is another member's now; the stream deals with it
    ├── DataLoss                  a range that neither the cache nor the source can give
    ├── Unavailable               no answer for now; retriable
    │   ├── ShuttingDown            the service is about to end
    │   ├── SourceUnreachable       the broker does not answer the service
    │   ├── Overloaded              the service has reached a limit
    │   └── TimedOut                no answer within the time allowed
    ├── ServiceFault              the service failed in a way that it did not foresee
    │   └── DamagedBatch            the bytes of a batch are not what they claim to be
    ├── StreamClosed              the stream or the client is not open
    ├── StreamBusy                two tasks read from one stream
    └── MissingLibrary            an optional library is not installed; also an ImportError

Errors of the service are told apart by ``reason``, the word of ``google.rpc.ErrorInfo``, never by
their text. A reason that this version does not know maps by its gRPC status code.

A stream deals with ``Unavailable`` by itself: it connects again, and raises only when it gives up.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from cachesvc.client.events import Gap


class ClientError(Exception):
    """Root of all errors of the client.

    Attributes:
        reason: Machine-readable word in capitals, stable across versions.
        metadata: Details for programs, such as topic and offset, as text.
        retriable: Whether the same call can succeed later without a change by the caller.
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

    @property
    def request_id(self) -> str:
        """What the call went by that failed, as the service's log has it; empty where none did."""
        return self.metadata.get("request_id", "")


class InvalidRequest(ClientError):
    """The caller's input is wrong; the same call will never succeed."""

    default_reason = "INVALID_ARGUMENT"


class PositionNotDelivered(InvalidRequest):
    """A commit would cover records that this stream has not handed out; nothing was stored."""

    default_reason = "POSITION_NOT_DELIVERED"


class NotFound(ClientError):
    """What was named does not exist."""

    default_reason = "NOT_FOUND"


class PreconditionFailed(ClientError):
    """The state of things forbids the call for now; the message says what has to change."""

    default_reason = "FAILED_PRECONDITION"


class AccessDenied(ClientError):
    """The caller is not known or not allowed; give a token that is."""

    default_reason = "PERMISSION_DENIED"


class Superseded(ClientError):
    """This stream's place is gone; records still in hand will come again elsewhere. Stop."""

    default_reason = "SUPERSEDED"


class SubscriptionTakenOver(Superseded):
    """A newer subscriber reads the subscription now; the newest wins."""

    default_reason = "SUBSCRIPTION_TAKEN_OVER"


class SubscriptionReset(Superseded):
    """An operator replaced the stored positions; subscribe again to start from those."""

    default_reason = "SUBSCRIPTION_RESET"


class SubscriptionDeleted(Superseded):
    """The subscription is no more; subscribing again would make a new one."""

    default_reason = "SUBSCRIPTION_DELETED"


class PartitionRevoked(ClientError):
    """A commit named partitions of a shared subscription that are another member's; nothing stored.

    A stream leaves them out and tries again; callers of ``Stream.commit`` see it once the stream is
    complete alone, when it took them too long to commit the end.
    """

    default_reason = "PARTITION_REVOKED"

    @property
    def partitions(self) -> list[tuple[str, int]]:
        """Which, by topic and number."""
        named = filter(None, self.metadata.get("partitions", "").split(","))
        parts = (each.rpartition("/") for each in named)
        return [(topic, int(number)) for topic, _, number in parts if number.isdecimal()]


class DataLoss(ClientError):
    """A range that neither the cache nor the source can give any more.

    Attributes:
        gaps: The ranges, as the stream named them; may be empty.
    """

    default_reason = "DATA_LOSS"
    gaps: "tuple[Gap, ...]" = ()

    @property
    def recovers_from_snapshot(self) -> bool:
        """Whether the next stream loads the partition anew; ``GapPolicy.RECOVER_FROM_SNAPSHOT``."""
        return self.metadata.get("recovers_from_snapshot") == "true"


class Unavailable(ClientError):
    """The service gives no answer for now; try again later.

    Attributes:
        retry_after_s: Before that it is of no use; 0 where the service does not say.
    """

    retriable = True
    default_reason = "UNAVAILABLE"
    retry_after_s: float = 0.0


class ShuttingDown(Unavailable):
    """The service is about to end; connect again."""

    default_reason = "SHUTTING_DOWN"


class SourceUnreachable(Unavailable):
    """The broker does not answer the service."""

    default_reason = "SOURCE_UNREACHABLE"


class Overloaded(Unavailable):
    """The caller has more than its share of the service, such as streams or calls per second."""

    default_reason = "RESOURCE_EXHAUSTED"


class TimedOut(Unavailable):
    """No answer came within the time allowed; what was asked for may have happened all the same."""

    default_reason = "DEADLINE_EXCEEDED"


class ServiceFault(ClientError):
    """The service failed in a way that it did not foresee; its log says more."""

    default_reason = "INTERNAL"


class DamagedBatch(ServiceFault):
    """The bytes of a batch do not decode, or not to as many records as they claim to hold."""

    default_reason = "DAMAGED_BATCH"


class StreamClosed(ClientError):
    """The stream or the client is not open; both work only inside their ``async with``."""

    default_reason = "STREAM_CLOSED"


class StreamBusy(ClientError):
    """Another task is waiting for the next item of this stream; one at a time."""

    default_reason = "STREAM_BUSY"


class MissingLibrary(ClientError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""

    default_reason = "MISSING_LIBRARY"
