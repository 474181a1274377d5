"""The one place that maps errors to gRPC statuses.

Every refusal carries one ``google.rpc.ErrorInfo`` with domain ``cachesvc`` and the error's reason;
docs/errors.md lists them all. One after which a caller has to wait has a ``google.rpc.RetryInfo``.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from cachesvc import errors
from cachesvc.request_ids import current_request_id

DOMAIN = "cachesvc"
REQUEST_ID = "request_id"
"""In the metadata of every error."""
# Trailers that are longer than a client takes, often 8 KiB, reach it as another error.
_MESSAGE_BYTES_MAX = 1_000
_METADATA_BYTES_MAX = 250
_log = logging.getLogger(__name__)

# The first class that fits wins.
_CODES: tuple[tuple[type[errors.CacheError], int], ...] = (
    (errors.InvalidRequest, code_pb2.INVALID_ARGUMENT),
    (errors.NotFound, code_pb2.NOT_FOUND),
    (errors.Unauthenticated, code_pb2.UNAUTHENTICATED),
    (errors.NotAllowed, code_pb2.PERMISSION_DENIED),
    (errors.StoreUnwritable, code_pb2.UNAVAILABLE),
    (errors.StoreUnreadable, code_pb2.UNAVAILABLE),
    (errors.PreconditionFailed, code_pb2.FAILED_PRECONDITION),
    (errors.Superseded, code_pb2.ABORTED),
    (errors.DataLoss, code_pb2.DATA_LOSS),
    (errors.ConnectionUnusable, code_pb2.FAILED_PRECONDITION),
    (errors.SourceUnreachable, code_pb2.UNAVAILABLE),
    (errors.MemberStalled, code_pb2.UNAVAILABLE),
    (errors.RateLimited, code_pb2.RESOURCE_EXHAUSTED),
    (errors.RequestTooLarge, code_pb2.RESOURCE_EXHAUSTED),
    (errors.ShuttingDown, code_pb2.UNAVAILABLE),
)


def status_of(error: errors.CacheError) -> status_pb2.Status:
    """The status message of an error, details included."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    metadata = {name: _cut(value, _METADATA_BYTES_MAX) for name, value in error.metadata.items()}
    if request_id := current_request_id():
        metadata[REQUEST_ID] = request_id
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    details = [_packed(info)]
    if isinstance(error, errors.RateLimited):
        delay = Duration()
        delay.FromMilliseconds(max(1, round(error.retry_after_s * 1_000)))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    message = _cut(str(error), _MESSAGE_BYTES_MAX)
    return status_pb2.Status(code=code, message=message, details=details)


def _packed(message: Message) -> any_pb2.Any:
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail


def _cut(text: str, bytes_max: int) -> str:
    """Valid Unicode of bounded length; a caller's own words may be in it."""
    data = text.encode(errors="replace")
    if len(data) <= bytes_max:
        return data.decode()
    return data[: bytes_max - 3].decode(errors="ignore") + "…"


async def abort(
    context: "grpc.aio.ServicerContext[object, object]", error: errors.CacheError
) -> NoReturn:
    """Ends a call with the error's status."""
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort returned")


@asynccontextmanager
async def errors_as_status(
    context: "grpc.aio.ServicerContext[object, object]",
) -> AsyncIterator[None]:
    """Turns errors raised within into statuses; what nobody foresaw is logged and INTERNAL."""
    try:
        yield
    except errors.CacheError as error:
        await abort(context, error)
    except grpc.aio.AbortError:
        raise
    except Exception:
        _log.exception("a call failed in a way that nobody foresaw", extra={"event": "internal"})
        await abort(context, errors.CacheError("internal error; the service's log has the cause"))
