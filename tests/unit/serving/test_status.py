from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cachesvc import errors
from cachesvc.serving.status import abort, errors_as_status, status_of

CODES: dict[type[errors.CacheError], int] = {
    errors.CacheError: code_pb2.INTERNAL,
    errors.InvalidRequest: code_pb2.INVALID_ARGUMENT,
    errors.InvalidConfig: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.NotAllowed: code_pb2.PERMISSION_DENIED,
    errors.PreconditionFailed: code_pb2.FAILED_PRECONDITION,
    errors.StoreLocked: code_pb2.FAILED_PRECONDITION,
    errors.StoreUnwritable: code_pb2.UNAVAILABLE,
    errors.StoreUnreadable: code_pb2.UNAVAILABLE,
    errors.StoreFormatUnsupported: code_pb2.FAILED_PRECONDITION,
    errors.Superseded: code_pb2.ABORTED,
    errors.DataLoss: code_pb2.DATA_LOSS,
    errors.DamagedFile: code_pb2.DATA_LOSS,
    errors.SourceUnreachable: code_pb2.UNAVAILABLE,
    errors.ConnectionUnusable: code_pb2.FAILED_PRECONDITION,
    errors.SourceChanged: code_pb2.FAILED_PRECONDITION,
    errors.MemberStalled: code_pb2.UNAVAILABLE,
    errors.RateLimited: code_pb2.RESOURCE_EXHAUSTED,
    errors.RequestTooLarge: code_pb2.RESOURCE_EXHAUSTED,
    errors.ShuttingDown: code_pb2.UNAVAILABLE,
}


def subclasses(kind: type[errors.CacheError]) -> set[type[errors.CacheError]]:
    """A class and all below it, as far as ``cachesvc.errors`` defines them."""
    found = {kind}
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            found |= subclasses(each)
    return found


def info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    detail, *_ = status.details
    found = error_details_pb2.ErrorInfo()
    assert detail.Unpack(found)
    return found


def test_every_error_has_a_code() -> None:
    assert set(CODES) == subclasses(errors.CacheError)


@pytest.mark.parametrize(("retry_after_s", "millis"), [(2.5, 2_500), (0.0, 1), (1e-9, 1)])
def test_who_has_to_wait_is_told_how_long(retry_after_s: float, millis: int) -> None:
    _, detail = status_of(errors.RateLimited("no", retry_after_s=retry_after_s)).details
    retry = error_details_pb2.RetryInfo()
    assert detail.Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == millis
    assert len(status_of(errors.RequestTooLarge("no")).details) == 1


@pytest.mark.parametrize("kind", CODES)
def test_an_error_becomes_a_code_and_a_reason(kind: type[errors.CacheError]) -> None:
    status = status_of(kind("what is wrong", metadata={"topic": "orders", "partition": 3}))
    assert (status.code, status.message) == (CODES[kind], "what is wrong")
    assert info(status) == error_details_pb2.ErrorInfo(
        domain="cachesvc",
        reason=kind.default_reason,
        metadata={"topic": "orders", "partition": "3"},
    )


@pytest.mark.parametrize("kind", CODES)
def test_a_reason_of_its_own_wins(kind: type[errors.CacheError]) -> None:
    assert info(status_of(kind("text", reason="SOMETHING_ELSE"))).reason == "SOMETHING_ELSE"


@pytest.mark.parametrize("kind", set(CODES) - {errors.CacheError})
def test_no_foreseen_error_is_called_internal(kind: type[errors.CacheError]) -> None:
    assert kind.default_reason != "INTERNAL"
    again = CODES[kind] == code_pb2.UNAVAILABLE or kind is errors.RateLimited
    assert kind.retriable == again


@pytest.mark.parametrize(
    "words", ["x" * 100_000, "日本語" * 10_000, chr(0xD800) * 5_000, "🎉" * 9_999]
)
def test_a_callers_own_words_never_make_a_status_too_long_to_send(words: str) -> None:
    status = status_of(errors.NotFound(f"there is no {words}", metadata={"name": words}))
    assert len(status.message.encode()) <= 1_000
    assert status.message.startswith("there is no ")
    assert status.message.endswith("…")
    assert status.ByteSize() < 2_000


class FakeContext:
    """Of gRPC: ends a call by an exception, as the real one does."""

    def __init__(self) -> None:
        self.ended: list[tuple[grpc.StatusCode, str, Any]] = []

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> None:
        self.ended.append((code, details, trailing_metadata))
        raise grpc.aio.AbortError


def ended(error: BaseException) -> tuple[grpc.StatusCode, str, Any]:
    async def call(context: Any) -> None:
        async with errors_as_status(context):
            raise error

    context = FakeContext()
    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(call(context))
    (end,) = context.ended
    return end


def sent(metadata: Any) -> status_pb2.Status:
    (found,) = [value for key, value in metadata if key == "grpc-status-details-bin"]
    return status_pb2.Status.FromString(found)


def test_an_error_within_a_call_ends_it_with_its_status() -> None:
    error = errors.Superseded("stop", reason="SUBSCRIPTION_TAKEN_OVER")
    code, details, metadata = ended(error)
    assert (code, details) == (grpc.StatusCode.ABORTED, "stop")
    assert sent(metadata) == status_of(error)


def test_what_nobody_foresaw_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        code, details, metadata = ended(ZeroDivisionError("secret detail"))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details
    assert info(sent(metadata)).reason == "INTERNAL"
    assert [record.__dict__["event"] for record in caplog.records] == ["internal"]


def test_a_call_that_was_ended_already_stays_ended() -> None:
    async def call(context: Any) -> None:
        async with errors_as_status(context):
            await abort(context, errors.NotFound("nothing there"))

    context = FakeContext()
    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(call(context))
    assert [code for code, _, _ in context.ended] == [grpc.StatusCode.NOT_FOUND]


def test_a_cancelled_call_is_no_error() -> None:
    async def call(context: Any) -> None:
        async with errors_as_status(context):
            raise asyncio.CancelledError

    context = FakeContext()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call(context))
    assert context.ended == []
