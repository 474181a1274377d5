"""G10, what only the catalogue has: nobody was told of anything that a rebuild would undo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from cachesvc.v1 import (
    access_pb2,
    admin_pb2,
    admin_pb2_grpc,
    alarms_pb2,
    audit_pb2,
    connections_pb2,
    mining_tasks_pb2,
    stores_pb2,
)
from tests.faults.stage import eventually
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.ports import HOST
from tests.support.service import ServiceError

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

NOWHERE = f"{HOST}:1"
CALL_S = 30
MADE = "made"


class Ops:
    """Calls as the principal of the file; used in ``with``."""

    def __init__(self, service: GuardedService, token: str = OF_FILE) -> None:
        self._channel = grpc.insecure_channel(service.address)
        self._stub: Any = admin_pb2_grpc.AdminStub(self._channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __getattr__(self, call: str) -> Callable[[Any], Any]:
        method = getattr(self._stub, call)
        return lambda request: method(request, timeout=CALL_S, metadata=self._metadata)

    def __enter__(self) -> Ops:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()


def _change_everything(ops: Ops, directory: Path) -> tuple[str, str]:
    """Changes one of each; the secret of a token that is revoked, and of one that is not."""
    settings = connections_pb2.Connection(name=MADE, bootstrap_servers=[NOWHERE])
    ops.CreateConnection(connections_pb2.CreateConnectionRequest(connection=settings))
    store = stores_pb2.Store(name="cold", kind="directory", path=str(directory / "cold"))
    ops.CreateStore(stores_pb2.CreateStoreRequest(store=store))
    ops.PlaceTopic(stores_pb2.PlaceTopicRequest(connection=MADE, store="cold"))
    ops.StopMiningTask(mining_tasks_pb2.StopMiningTaskRequest(connection=MADE))
    edit = mining_tasks_pb2.EditMiningTaskRequest(
        connection=MADE, name="the shop", retention_records=77
    )
    ops.EditMiningTask(edit)
    ops.PauseJob(admin_pb2.PauseJobRequest(name="expire"))
    list(ops.RunJob(admin_pb2.RunJobRequest(name="sweep")))
    principal = access_pb2.Principal(name="somebody", roles=["admin"])
    ops.SetPrincipal(access_pb2.SetPrincipalRequest(principal=principal))
    request = access_pb2.CreateTokenRequest(principal="somebody")
    valid, revoked = ops.CreateToken(request), ops.CreateToken(request)
    ops.RevokeToken(access_pb2.RevokeTokenRequest(id=revoked.token.id))
    return revoked.secret, valid.secret


def _everything(ops: Ops) -> dict[str, Any]:
    """What has to be the same after a rebuild."""
    tasks = ops.ListMiningTasks(mining_tasks_pb2.ListMiningTasksRequest()).tasks
    alarms = ops.ListAlarms(alarms_pb2.ListAlarmsRequest(past=True)).alarms
    runs = ops.ListJobRuns(admin_pb2.ListJobRunsRequest(name="sweep")).runs
    jobs = ops.ListJobs(admin_pb2.ListJobsRequest()).jobs
    stores = ops.ListStores(stores_pb2.ListStoresRequest()).stores
    audit = ops.ListAudit(audit_pb2.ListAuditRequest()).entries
    shown = MessageToDict(ops.ListConnections(connections_pb2.ListConnectionsRequest()))
    return {
        "connections": sorted(each["name"] for each in shown["connections"]),
        "stores": sorted(each.name for each in stores),
        "tasks": {
            each.connection: (each.name, each.state, each.retention_records) for each in tasks
        },
        "alarms": sorted((each.kind, each.connection, each.raised_ms) for each in alarms),
        "runs": [(each.started_ms, each.succeeded) for each in runs],
        "paused": sorted(each.name for each in jobs if each.paused),
        "audit": [(each.at_ms, each.call) for each in audit],
        "principals": MessageToDict(ops.ListPrincipals(access_pb2.ListPrincipalsRequest())),
        "tokens": [
            (each.id, each.principal, each.created_ms, each.revoked_ms)
            for each in ops.ListTokens(access_pb2.ListTokensRequest()).tokens
        ],
    }


def _opens(service: GuardedService, token: str) -> bool:
    with Ops(service, token) as calls:
        try:
            calls.ListJobs(admin_pb2.ListJobsRequest())
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return False
    return True


def _rebuild(service: GuardedService) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", "store", "rebuild"]
        + ["--store", str(service.store), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_that_was_changed_is_there_again_whenever_the_catalogue_goes(tmp_path: Path) -> None:
    settings = {"alarms": {"raise_after_s": 0}}
    service = GuardedService(tmp_path, NOWHERE, settings)
    catalogue = service.store / "catalogue.duckdb"
    try:
        service.start()
        with Ops(service) as ops:
            revoked, valid = _change_everything(ops, tmp_path)
            eventually(
                lambda: ops.ListAlarms(alarms_pb2.ListAlarmsRequest()).alarms, "no broker: an alarm"
            )
            before = _everything(ops)
        service.kill()
        # Most likely before there was any copy.
        catalogue.unlink()
        with pytest.raises(ServiceError, match="cachesvc store rebuild"):
            service.start()
        found = _rebuild(service)
        assert found["changes_whole"] and found["changes"] > 10 and not found["tokens_revoked"]
        service.start()
        with Ops(service) as ops:
            after = _everything(ops)
            # A service that starts clears alarms and raises them anew; none of before is gone.
            assert set(before.pop("alarms")) <= set(after.pop("alarms"))
            assert after == before
            assert before["tasks"][MADE][2] == 77
            assert not _opens(service, revoked) and _opens(service, valid)
            # The second time there is a copy, and the last change follows it at once.
            eventually((service.store / "catalogue-copy.duckdb").exists, "a copy")
            (last,) = [each for each in after["tokens"] if each[1] == "somebody" and not each[3]]
            ops.RevokeToken(access_pb2.RevokeTokenRequest(id=last[0]))
        service.kill()
        catalogue.write_bytes(b"damaged" * 1_000)
        found = _rebuild(service)
        assert found["changes_whole"] and found["copied_ms"]
        service.start()
        assert not _opens(service, valid) and not _opens(service, revoked)
        assert _opens(service, OF_FILE)
    finally:
        service.stop()


def test_where_changes_are_missing_no_token_that_was_made_opens_anything(tmp_path: Path) -> None:
    service = GuardedService(tmp_path, NOWHERE)
    try:
        service.start()
        token = service.make_token("somebody", {"rights": ["admin"]})
        assert _opens(service, token)
        eventually((service.store / "catalogue-copy.duckdb").exists, "a copy")
        service.kill()
        for file in service.store.glob("catalogue.duckdb*"):
            file.unlink()
        found = _rebuild(service)
        assert not found["changes_whole"] and found["tokens_revoked"] == 1
        service.start()
        assert not _opens(service, token) and _opens(service, OF_FILE)
    finally:
        service.stop()
