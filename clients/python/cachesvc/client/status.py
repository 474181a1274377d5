"""gRPC's final status of a call as an error of the client.

The service says why in one ``google.rpc.ErrorInfo`` of its own domain, which travels in the
trailing metadata; the text of a message decides nothing. Without that word the status comes from
gRPC itself or from something between client and service, such as a proxy.
"""

from collections.abc import Mapping

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
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
        errors.DataLoss,
        errors.ShuttingDown,
        errors.SourceUnreachable,
    )
}

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


def error_from(failure: aio.AioRpcError) -> errors.ClientError:
    """The client's error for the final status of a call; raise it ``from`` that status."""
    code = failure.code()
    info = error_info(failure)
    message = failure.details() or code.name
    if info is None:
        kind = errors.Unavailable if code in _BROKEN_CONNECTION else _BY_CODE[code]
        return kind(message, reason=code.name)
    kind = _BY_REASON.get(info.reason) or _BY_CODE[code]
    return kind(message, reason=info.reason, metadata=dict(info.metadata))


def error_info(failure: aio.AioRpcError) -> ErrorInfo | None:
    """What the service itself says about a failure; None if it said nothing that can be read."""
    for key, value in failure.trailing_metadata() or ():
        if key != DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            details = Status.FromString(value).details
        except DecodeError:
            return None
        for detail in details:
            info = ErrorInfo()
            if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
                return info
    return None
