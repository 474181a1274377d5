"""gRPC's final status of a call as an error of the client.

The service says why in one ``google.rpc.ErrorInfo`` of its own domain, which travels in the
trailing metadata; the text of a message decides nothing. Without that word the status comes from
gRPC itself or from something between client and service, such as a proxy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode, aio

from cachesvc.client import errors

DOMAIN = "cachesvc"
DETAILS_KEY = "grpc-status-details-bin"

_BY_REASON: Mapping[str, type[errors.ClientError]] = {
    kind.default_reason: kind
    for kind in (
        errors.PositionNotDelivered,
        errors.SubscriptionTakenOver,
        errors.SubscriptionReset,
        errors.SubscriptionDeleted,
        errors.PartitionRevoked,
        errors.DataLoss,
        errors.ShuttingDown,
        errors.SourceUnreachable,
    )
} | {"REQUEST_TOO_LARGE": errors.InvalidRequest}

_BY_CODE: Mapping[StatusCode, type[errors.ClientError]] = {
    StatusCode.CANCELLED: errors.Unavailable,
    StatusCode.UNKNOWN: errors.ServiceFault,
    StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    StatusCode.DEADLINE_EXCEEDED: errors.TimedOut,
    StatusCode.NOT_FOUND: errors.NotFound,
    StatusCode.ALREADY_EXISTS: errors.PreconditionFailed,
    StatusCode.PERMISSION_DENIED: errors.AccessDenied,
    StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    StatusCode.FAILED_PRECONDITION: errors.PreconditionFailed,
    StatusCode.ABORTED: errors.Superseded,
    StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    StatusCode.UNIMPLEMENTED: errors.ServiceFault,
    StatusCode.INTERNAL: errors.ServiceFault,
    StatusCode.UNAVAILABLE: errors.Unavailable,
    StatusCode.DATA_LOSS: errors.DataLoss,
    StatusCode.UNAUTHENTICATED: errors.AccessDenied,
}

# What gRPC makes of a connection that broke at an unlucky moment, when the service said nothing.
_BROKEN_CONNECTION = frozenset({StatusCode.UNKNOWN, StatusCode.INTERNAL})


def error_from(failure: aio.AioRpcError, request_id: str) -> errors.ClientError:
    """The client's error for the final status of a call; raise it ``from`` that status.

    Args:
        failure: The status.
        request_id: What the call went by.
    """
    code = failure.code()
    info = error_info(failure)
    message = failure.details() or code.name
    if info is None:
        kind = errors.Unavailable if code in _BROKEN_CONNECTION else _BY_CODE[code]
        return kind(message, reason=code.name, metadata={"request_id": request_id})
    kind = _BY_REASON.get(info.reason) or _BY_CODE[code]
    metadata = {"request_id": request_id, **info.metadata}
    error = kind(message, reason=info.reason, metadata=metadata)
    if isinstance(error, errors.Unavailable):
        error.retry_after_s = _retry_after_s(failure)
    return error


def error_info(failure: aio.AioRpcError) -> ErrorInfo | None:
    """What the service itself says about a failure; None if it said nothing that can be read."""
    for detail in _details(failure):
        info = ErrorInfo()
        if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _retry_after_s(failure: aio.AioRpcError) -> float:
    for detail in _details(failure):
        retry = RetryInfo()
        if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            return max(0.0, float(retry.retry_delay.ToMilliseconds()) / 1_000)
    return 0.0


def _details(failure: aio.AioRpcError) -> Sequence[Any]:
    """The messages of a status that go beyond its code and text, as far as they can be read."""
    for key, value in failure.trailing_metadata() or ():
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            return list(Status.FromString(value).details)
        except DecodeError:
            return ()
    return ()
