"""Every error that cachesvc raises on purpose.

    CacheError
    ├── InvalidRequest           the caller's input is wrong; change it
    │   └── InvalidConfig        a configuration file, flag or environment variable is wrong
    ├── NotFound                 what was named does not exist
    ├── Unauthenticated          nobody knows who calls
    ├── NotAllowed               the caller has no right to it
    ├── PreconditionFailed       the state of things forbids it for now
    │   ├── StoreLocked          another process owns the store
    │   ├── StoreUnwritable      the disk does not take it; try again
    │   ├── StoreUnreadable      the disk does not give it; try again
    │   └── StoreFormatUnsupported  the store was written by a newer version
    ├── Superseded               somebody newer has taken this role; stop
    ├── DataLoss                 a range that neither the cache nor the source can give
    │   └── DamagedFile          a checksum or a structure does not hold
    ├── SourceUnreachable        the broker does not answer; try again
    │   └── ConnectionUnusable   it does, but settings, secrets or rights do not open it
    │       └── SourceChanged    it is of another cluster
    ├── MemberStalled            its client takes nothing while others do; subscribe again
    ├── RateLimited              the caller has more than its share; try again later
    ├── RequestTooLarge          the request is larger than one may be
    └── ShuttingDown             the service is about to end; connect again

``reason`` is the machine-readable word of ``google.rpc.ErrorInfo``; it is part of the public
interface (docs/errors.md). ``serving.status`` is the one place that maps classes to gRPC codes.
"""

from collections.abc import Mapping
from typing import ClassVar


class CacheError(Exception):
    """Root of all errors of cachesvc.

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
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.metadata = {name: str(value) for name, value in (metadata or {}).items()}


class InvalidRequest(CacheError):
    """The caller's input is wrong; the same call will never succeed."""

    default_reason = "INVALID_ARGUMENT"


class InvalidConfig(InvalidRequest):
    """A configuration file, flag or environment variable is wrong; the message names the field."""

    default_reason = "INVALID_CONFIG"


class NotFound(CacheError):
    """What was named does not exist."""

    default_reason = "NOT_FOUND"


class Unauthenticated(CacheError):
    """What the caller shows tells nobody who it is; it has to show something else."""

    default_reason = "UNAUTHENTICATED"


class NotAllowed(CacheError):
    """The caller has no right to it, whether it exists or not."""

    default_reason = "NOT_ALLOWED"


class PreconditionFailed(CacheError):
    """The state of things forbids the call for now; the message says what has to change."""

    default_reason = "FAILED_PRECONDITION"


class StoreLocked(PreconditionFailed):
    """Another process owns the store."""

    default_reason = "STORE_LOCKED"


class StoreUnwritable(PreconditionFailed):
    """The disk does not take it, being full most likely; the same call works once it does."""

    retriable = True
    default_reason = "STORE_WRITE_FAILED"


class StoreUnreadable(PreconditionFailed):
    """A file of the store is there and the system does not let it be read; it may do so later."""

    retriable = True
    default_reason = "STORE_READ_FAILED"


class StoreFormatUnsupported(PreconditionFailed):
    """The store on disk has a format that this version cannot read."""

    default_reason = "STORE_FORMAT_UNSUPPORTED"


class Superseded(CacheError):
    """Somebody newer has taken this role (subscriber or reader); the caller has to stop."""

    default_reason = "SUPERSEDED"


class DataLoss(CacheError):
    """A range that neither the cache nor the source can give any more."""

    default_reason = "DATA_LOSS"


class DamagedFile(DataLoss):
    """A file of the store fails its checksum or its structure does not hold."""

    default_reason = "DAMAGED_FILE"


class SourceUnreachable(CacheError):
    """The broker does not answer; the caller tries again."""

    retriable = True
    default_reason = "SOURCE_UNREACHABLE"


class ConnectionUnusable(SourceUnreachable):
    """A connection's settings, secrets or rights do not open its cluster; somebody has to act.

    Trying again soon is of no use, though it heals by itself once the cause is mended.
    """

    retriable = False
    default_reason = "CONNECTION_UNUSABLE"


class SourceChanged(ConnectionUnusable):
    """An address leads to another cluster than the one that a connection's logs are of."""

    default_reason = "SOURCE_CHANGED"


class MemberStalled(CacheError):
    """A member of a shared subscription took nothing for long; others have its partitions."""

    retriable = True
    default_reason = "MEMBER_STALLED"


class RateLimited(CacheError):
    """The caller has more than its share; the same call works later.

    Attributes:
        retry_after_s: When trying again is of use.
    """

    retriable = True
    default_reason = "RATE_LIMITED"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float = 0.0,
        reason: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after_s = retry_after_s


class RequestTooLarge(CacheError):
    """The request is larger than one may be; the same call will never succeed."""

    default_reason = "REQUEST_TOO_LARGE"


class ShuttingDown(CacheError):
    """The service is about to end; the caller connects again."""

    retriable = True
    default_reason = "SHUTTING_DOWN"
