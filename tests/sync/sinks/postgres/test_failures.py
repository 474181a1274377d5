import psycopg
import pytest
from psycopg import errors

from cachesvc.sync import BatchRefused, SyncError, TargetFailed, TargetUnavailable
from cachesvc.sync.sinks.postgres.failures import sync_error, telling


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("connection refused"), TargetUnavailable),
        (errors.ConnectionFailure(), TargetUnavailable),
        (errors.AdminShutdown(), TargetUnavailable),
        (errors.CannotConnectNow(), TargetUnavailable),
        (errors.QueryCanceled(), TargetUnavailable),
        (errors.SerializationFailure(), TargetUnavailable),
        (errors.DeadlockDetected(), TargetUnavailable),
        (errors.LockNotAvailable(), TargetUnavailable),
        (errors.DiskFull(), TargetUnavailable),
        (errors.TooManyConnections(), TargetUnavailable),
        (errors.ReadOnlySqlTransaction(), TargetUnavailable),
        (errors.IoError(), TargetUnavailable),
        (errors.NotNullViolation(), BatchRefused),
        (errors.NumericValueOutOfRange(), BatchRefused),
        (errors.CardinalityViolation(), BatchRefused),
        (errors.ProgramLimitExceeded(), BatchRefused),
        (errors.RaiseException(), BatchRefused),
        (errors.InsufficientPrivilege(), TargetFailed),
        (errors.UndefinedTable(), TargetFailed),
        (errors.InvalidPassword(), TargetFailed),
        (errors.FeatureNotSupported(), TargetFailed),
    ],
)
def test_what_an_error_means(error: psycopg.Error, kind: type[SyncError]) -> None:
    assert type(sync_error(error)) is kind


def test_a_refusal_has_a_reason_in_capitals() -> None:
    with pytest.raises(BatchRefused) as caught, telling():
        raise errors.InvalidTextRepresentation("x")
    assert caught.value.reason == "INVALID_TEXT_REPRESENTATION"
