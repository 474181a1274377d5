from __future__ import annotations

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode, aio

from cachesvc.client import errors
from cachesvc.client.status import DETAILS_KEY, error_from
from tests.client.fake_server import details


def failure(code: StatusCode, value: bytes | None = None) -> aio.AioRpcError:
    metadata = aio.Metadata() if value is None else aio.Metadata((DETAILS_KEY, value))
    return aio.AioRpcError(code, aio.Metadata(), metadata, "some text")


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (StatusCode.ABORTED, "SUBSCRIPTION_TAKEN_OVER", errors.SubscriptionTakenOver),
        (StatusCode.ABORTED, "SUBSCRIPTION_RESET", errors.SubscriptionReset),
        (StatusCode.ABORTED, "SUBSCRIPTION_DELETED", errors.SubscriptionDeleted),
        (StatusCode.ABORTED, "A_NEW_WORD", errors.Superseded),
        (StatusCode.UNAVAILABLE, "SHUTTING_DOWN", errors.ShuttingDown),
        (StatusCode.UNAVAILABLE, "SOURCE_UNREACHABLE", errors.SourceUnreachable),
        (StatusCode.FAILED_PRECONDITION, "SOURCE_UNREACHABLE", errors.SourceUnreachable),
        (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_SUBSCRIBERS", errors.Overloaded),
        (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", errors.Overloaded),
        (StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", errors.InvalidRequest),
        (StatusCode.DATA_LOSS, "CACHE_RETENTION", errors.DataLoss),
        (StatusCode.INVALID_ARGUMENT, "POSITION_NOT_DELIVERED", errors.PositionNotDelivered),
        (StatusCode.INVALID_ARGUMENT, "UNKNOWN_MODE", errors.InvalidRequest),
        (StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", errors.NotFound),
        (StatusCode.FAILED_PRECONDITION, "TOPIC_STOPPED", errors.PreconditionFailed),
        (StatusCode.UNAUTHENTICATED, "TOKEN_REQUIRED", errors.AccessDenied),
        (StatusCode.PERMISSION_DENIED, "TOPIC_FORBIDDEN", errors.AccessDenied),
        (StatusCode.INTERNAL, "INTERNAL", errors.ServiceFault),
    ],
)
def test_the_reason_decides_and_an_unknown_one_maps_by_code(
    code: StatusCode, reason: str, kind: type[errors.ClientError]
) -> None:
    error = error_from(failure(code, details(code, reason, topic="orders")), "call-7")
    assert type(error) is kind
    assert error.reason == reason
    assert error.metadata == {"topic": "orders", "request_id": "call-7"}
    assert error.request_id == "call-7"
    assert str(error) == "some text"


def test_when_to_try_again_is_what_the_service_says() -> None:
    status = Status.FromString(details(StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"))
    wait = RetryInfo()
    wait.retry_delay.FromMilliseconds(2_500)
    status.details.add().Pack(wait)
    error = error_from(failure(StatusCode.RESOURCE_EXHAUSTED, status.SerializeToString()), "call-7")
    assert isinstance(error, errors.Overloaded)
    assert error.retry_after_s == 2.5
    without = details(StatusCode.UNAVAILABLE, "X")
    other = error_from(failure(StatusCode.UNAVAILABLE, without), "call-7")
    assert isinstance(other, errors.Unavailable)
    assert other.retry_after_s == 0.0


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
def test_every_code_has_an_error_without_a_reason(code: StatusCode) -> None:
    error = error_from(failure(code), "call-7")
    assert error.reason == code.name
    assert error.metadata == {"request_id": "call-7"}


@pytest.mark.parametrize(
    "code",
    [StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.UNKNOWN, StatusCode.INTERNAL],
)
def test_a_status_that_the_service_has_not_made_is_a_broken_connection(code: StatusCode) -> None:
    assert error_from(failure(code), "call-7").retriable
    foreign = details(code, "SUBSCRIPTION_DELETED", domain="proxy.example")
    assert error_from(failure(code, foreign), "call-7").retriable


def test_details_that_cannot_be_read_are_ignored() -> None:
    error = error_from(failure(StatusCode.NOT_FOUND, b"\xff\xff"), "call-7")
    assert type(error) is errors.NotFound
    assert error.reason == "NOT_FOUND"


def test_only_what_is_temporary_is_retriable() -> None:
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.ClientError)
    ]
    assert {each.__name__ for each in kinds if each.retriable} == {
        "Unavailable",
        "ShuttingDown",
        "SourceUnreachable",
        "Overloaded",
        "TimedOut",
    }
    assert all(each.__name__ in (errors.__doc__ or "") for each in kinds)
