from __future__ import annotations

import json

from cachesvc.v1 import audit_pb2 as pb
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS

ENTRIES = pb.ListAuditResponse(
    entries=[
        pb.AuditEntry(
            number=8,
            at_ms=TIME_MS,
            principal="ops",
            proof="token",
            credential="t-7",
            address="ipv4:10.0.0.7:4711",
            call="DeleteSubscription",
            request='{"subscription":"x\x1b[31m"}',
            outcome="NOT_FOUND",
            reason="UNKNOWN_SUBSCRIPTION",
            took_ms=1_234,
        ),
        pb.AuditEntry(number=7, principal="anonymous", proof="none", outcome="STARTED"),
    ]
)


def test_who_changed_what(run: Run, service: FakeService) -> None:
    service.answer("ListAudit", ENTRIES)
    result = run("audit", "--principal", "ops", "--call", "DeleteSubscription", "--since", TIME)
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    for word in ("ops", "t-7", "NOT_FOUND", "UNKNOWN_SUBSCRIPTION", "1,234", "STARTED"):
        assert word in words
    assert "\x1b" not in result.stdout
    (request,) = service.requests
    assert request == pb.ListAuditRequest(
        principal="ops", call="DeleteSubscription", since_ms=TIME_MS // 1_000 * 1_000, limit=100
    )


def test_as_json(run: Run, service: FakeService) -> None:
    service.answer("ListAudit", ENTRIES)
    first, second = json.loads(run("audit", "--json", "--limit", "7").stdout)
    assert (first["number"], first["took_ms"], first["reason"]) == (8, 1234, "UNKNOWN_SUBSCRIPTION")
    assert second.get("took_ms") is None
    assert service.requests == [pb.ListAuditRequest(limit=7)]


def test_nothing_and_nonsense(run: Run, service: FakeService) -> None:
    service.answer("ListAudit", pb.ListAuditResponse())
    assert "nothing was changed" in run("audit").stderr
    wrong = run("audit", "--since", "yesterday")
    assert wrong.exit_code == 2
    assert "--since 'yesterday' is no time" in wrong.stderr
