"""Tests of connections and stores: what a check says, and how long they take at most."""

from collections.abc import Mapping

from cachesvc.v1.connection_test_pb2 import CheckStatus, TestConnectionResponse
from cachesvc.v1.stores_pb2 import TestStoreResponse
from cachesvc.web.runs import Line

CONNECTION_TEST_S = 30.0
STORE_TEST_S = 120.0
_MARKS: Mapping[int, str] = {
    CheckStatus.CHECK_PASSED: "passed",
    CheckStatus.CHECK_WARNING: "warning",
    CheckStatus.CHECK_FAILED: "failed",
    CheckStatus.CHECK_SKIPPED: "skipped",
}


def connection_line(answer: TestConnectionResponse) -> Line:
    """What a check of a connection says."""
    check = answer.check
    why = f" ({check.reason})" if check.reason else ""
    hint = f"{check.hint}{why}" if check.hint else ""
    return Line(f"{check.name}: {check.detail}", _MARKS.get(check.status, ""), hint)


def store_line(answer: TestStoreResponse) -> Line:
    """What a check of a store says."""
    check = answer.check
    mark = "skipped"
    if check.HasField("works"):
        mark = "passed" if check.works else "failed"
    return Line(f"{check.name}: {check.detail}" if check.detail else check.name, mark)
