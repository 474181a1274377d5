"""Who may call a real service, over kills."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from cachesvc.access.tokens import new_token
from cachesvc.client import AccessDenied, Client, Mode
from cachesvc.serving.local_socket import socket_path
from cachesvc.v1 import access_pb2 as pb
from cachesvc.v1 import admin_pb2_grpc, sql_pb2
from tests.faults.stage import objects
from tests.support.commands import run_command
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.jwts import AUDIENCE, ISSUER, JwtSigner
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST
from tests.support.process_memory import in_memory
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

NOWHERE = f"{HOST}:1"
SCRIPTS = Path(__file__).parents[2] / "scripts" / "ops"
UNKNOWN_PER_S = 100
KILLS = int(os.environ.get("CACHESVC_TOKEN_KILLS", "3"))


class TokenService(GuardedService):
    """One with an issuer of JWTs, which keeps callers whom nobody knows to so many calls."""

    def _toml(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        connections: Sequence[Mapping[str, Any]],
    ) -> str:
        more = {
            "callers": {"unknown_per_s_max": UNKNOWN_PER_S},
            # That no broker answers is no matter here, however long the tests take.
            "alarms": {"raise_after_s": 3_600},
        }
        text = super()._toml({**settings, **more}, connections)
        self.signer = JwtSigner(Path(self.store).with_name("keys.json"))
        return f"{text}\n" + "\n".join(
            [
                "[access.jwt]",
                f'issuer = "{ISSUER}"',
                f'audience = "{AUDIENCE}"',
                f'keys_file = "{self.signer.keys_file}"',
                "",
            ]
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    with TokenService(tmp_path_factory.mktemp("access"), NOWHERE, http=True) as running:
        yield running


def _call(service: ServiceProcess, token: str, request: Any) -> Any:
    name = type(request).__name__.removesuffix("Request")
    with grpc.insecure_channel(service.address) as channel:
        stub: Any = admin_pb2_grpc.AdminStub(channel)
        metadata = (("authorization", f"Bearer {token}"),)
        return getattr(stub, name)(request, timeout=30, metadata=metadata)


def _opens(service: ServiceProcess, token: str) -> bool:
    try:
        _call(service, token, pb.GetCallerRequest())
    except grpc.RpcError as error:
        code: Any = error.code()
        if code is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True


def test_nobody_is_answered_who_shows_nothing(service: GuardedService) -> None:
    refused = run_command(service, "topics")
    assert refused.returncode == 5
    assert "UNAUTHENTICATED" in refused.stderr and "--token-file" in refused.stderr

    async def names(token: str | None) -> int:
        async with Client(service.address, token=token) as client:
            return len(await client.list_subscriptions())

    async def read(token: str | None) -> None:
        async with (
            Client(service.address, token=token) as client,
            client.subscribe("s", topics=["orders"], mode=Mode.FULL) as stream,
        ):
            await stream.__anext__()

    for wrong in (None, new_token("0001"), "x", OF_FILE[:-1], f"{OF_FILE}x"):
        for call in (names, read):
            with pytest.raises(AccessDenied):
                asyncio.run(call(wrong))
    assert asyncio.run(names(OF_FILE)) == 0


def test_a_flood_of_wrong_tokens_is_slowed_down_and_told(service: TokenService) -> None:
    """From one address, from which a caller with a valid token is answered as ever."""

    async def flood() -> tuple[int, float]:
        """How many of the others were answered before the valid call, and how long all took."""
        wrong = (("authorization", f"Bearer {new_token('0001')}"),)
        right = (("authorization", f"Bearer {OF_FILE}"),)
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub: Any = admin_pb2_grpc.AdminStub(channel)
            began_s = time.monotonic()
            calls = [
                stub.GetCaller(pb.GetCallerRequest(), metadata=wrong, timeout=60)
                for _ in range(4 * UNKNOWN_PER_S)
            ]
            answered: list[Any] = []
            for call in calls:
                call.add_done_callback(answered.append)
            valid_call = stub.GetCaller(pb.GetCallerRequest(), metadata=right, timeout=60)
            valid_call.add_done_callback(answered.append)
            assert (await valid_call).principal == "ops"
            codes = await asyncio.gather(*(call.code() for call in calls))
            assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED}
            return answered.index(valid_call), time.monotonic() - began_s

    before, flood_s = asyncio.run(flood())
    assert flood_s > 2 and before < 2 * UNKNOWN_PER_S
    with urllib.request.urlopen(f"{service.web}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(r'cachesvc_unknown_callers_total{answered="kept_back"} (\d+)', text)
    assert found and int(found[1]) > UNKNOWN_PER_S, text
    assert {each["address"] for each in service.events("unknown_callers")} == {f"ipv4:{HOST}"}


def test_a_jwt_until_its_principal_is_disabled(service: TokenService, tmp_path: Path) -> None:
    socket = f"unix:{socket_path(service.store)}"
    token = service.signer.signed("ci")

    def change(word: str, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return run_command(
            service, "access", f"{word}-principal", name, *words, "--json", address=socket
        )

    assert not _opens(service, token)
    assert change("set", "ci").returncode == 0
    caller = _call(service, token, pb.GetCallerRequest())
    assert (caller.principal, caller.proof, caller.credential) == ("ci", "jwt", "j7")
    turned_away = change("disable", "ci")
    assert json.loads(turned_away.stdout)[0]["disabled"] is True, turned_away.stderr
    assert not _opens(service, token)
    assert change("set", "ci", "--role", "admin").returncode == 0
    assert not _opens(service, token)  # another change leaves that as it is
    assert change("enable", "ci").returncode == 0
    assert _call(service, token, pb.GetCallerRequest()).roles == ["admin"]
    assert change("enable", "nobody").returncode == 4
    assert change("disable", "ops").returncode == 5  # it is of the file
    assert not _opens(service, JwtSigner(tmp_path / "other.json").signed("ci"))
    assert token.rpartition(".")[2] not in service.log_path.read_text()


def test_the_scripts_of_operators_show_a_token(service: TokenService, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OF_FILE}\n")
    script = [sys.executable, "-W", "error", str(SCRIPTS / "inspect_cache.py"), "--json"]
    command = [*script, "--address", service.address]

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=60, env=os.environ | env
        )

    assert run().returncode == 5
    for shown in (run("--token-file", str(file)), run(CACHESVC_TOKEN=OF_FILE)):
        assert shown.returncode == 0, shown.stderr
        assert OF_FILE not in shown.stdout + shown.stderr
    file.write_text("")
    assert run("--token-file", str(file)).returncode == 2


def test_tokens_from_the_command_line(service: GuardedService, tmp_path: Path) -> None:
    socket = f"unix:{socket_path(service.store)}"
    local = run_command(service, "access", "whoami", "--json", address=socket)
    assert json.loads(local.stdout)["proof"] == "socket", local.stderr
    role = ["access", "set-role", "readers", "--grant", "read,commit topics=orders,^x.*"]
    assert run_command(service, *role, address=socket).returncode == 0
    made = run_command(
        service, "access", "set-principal", "billing", "--role", "readers", address=socket
    )
    assert made.returncode == 0, made.stderr
    created = run_command(
        service, "access", "create-token", "billing", "--days", "9", address=socket
    )
    file = tmp_path / "token"
    file.write_text(created.stdout)
    token = created.stdout.strip()
    asked = run_command(service, "access", "whoami", "--json", "--token-file", str(file))
    caller = json.loads(asked.stdout)
    assert (caller["principal"], caller["roles"]) == ("billing", ["readers"])
    seen = json.loads(
        run_command(service, "top", "--once", "--json", "--token-file", str(file)).stdout
    )
    assert seen["caller"]["principal"] == "billing"
    assert [each["what"] for each in seen["unseen"]] == ["overview", "readers", "stores", "jobs"]
    assert "'mining'" in seen["unseen"][1]["why"]
    assert "'admin'" in seen["unseen"][2]["why"]
    refused = run_command(
        service, "--token-file", str(file), "access", "tokens", "billing", "--json"
    )
    assert refused.returncode != 0
    assert "'admin'" in refused.stderr
    asked = run_command(service, "access", "tokens", "billing", "--json", address=socket)
    (listed,) = json.loads(asked.stdout)
    assert listed["id"] == caller["credential"] and listed["last_used_ms"]
    assert token not in asked.stdout + asked.stderr + service.log_path.read_text()
    assert (
        json.loads(run_command(service, "audit", "--json", address=socket).stdout)[0]
        == (json.loads(run_command(service, "audit", "--json", CACHESVC_TOKEN=OF_FILE).stdout)[0])
    )
    revoked = run_command(service, "access", "revoke-token", listed["id"], CACHESVC_TOKEN=OF_FILE)
    assert revoked.returncode == 0, revoked.stderr
    again = run_command(service, "access", "whoami", "--token-file", str(file))
    assert again.returncode == 5 and "is revoked" in again.stderr
    trail = run_command(service, "audit", "--json", "--principal", "local", CACHESVC_TOKEN=OF_FILE)
    assert "CreateToken" in {each["call"] for each in json.loads(trail.stdout)}
    assert token not in trail.stdout
    for wrong in ("", "two words"):
        file.write_text(wrong)
        assert run_command(service, "topics", "--token-file", str(file)).returncode == 2


def test_kills_during_changes_leave_the_registry_whole(service: GuardedService) -> None:
    """What was confirmed counts after the kill, and what was not is there whole or not at all."""
    names = [f"p{number}" for number in range(4)]
    for name in names:
        _call(service, OF_FILE, pb.SetPrincipalRequest(principal=pb.Principal(name=name)))
    valid: dict[str, str] = {}
    revoked: dict[str, str] = {}
    doubtful: set[str] = set()

    def change(name: str) -> None:
        held: list[tuple[str, str]] = [
            (each, text)
            for each, text in valid.items()
            if owner[each] == name and each not in doubtful
        ]
        try:
            while True:
                if len(held) < 2:
                    made = _call(service, OF_FILE, pb.CreateTokenRequest(principal=name))
                    owner[made.token.id] = name
                    valid[made.token.id] = made.secret
                    held.append((made.token.id, made.secret))
                    continue
                id_, _ = held.pop(0)
                doubtful.add(id_)
                _call(service, OF_FILE, pb.RevokeTokenRequest(id=id_))
                doubtful.discard(id_)
                revoked[id_] = valid.pop(id_)
        except grpc.RpcError:
            return

    owner: dict[str, str] = {}
    for _ in range(KILLS):
        before = len(revoked)
        threads = [threading.Thread(target=change, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(revoked) < before + 8:
            assert time.monotonic() < deadline, f"{len(revoked) - before} of 8 were revoked"
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))
        service.kill()
        for thread in threads:
            thread.join(60)
        service.start()
        for id_, text in valid.items():
            assert id_ in doubtful or _opens(service, text), id_
        assert not any(_opens(service, text) for text in revoked.values())
        listed = _call(service, OF_FILE, pb.ListTokensRequest()).tokens
        assert {*valid, *revoked} <= {each.id for each in listed}
        # What was made and never told to anybody is revoked, so that there is room again.
        for each in listed:
            lost = each.id not in valid and not each.HasField("revoked_ms")
            if each.principal in names and (lost or each.id in doubtful):
                _call(service, OF_FILE, pb.RevokeTokenRequest(id=each.id))
                if text := valid.pop(each.id, ""):
                    revoked[each.id] = text
        doubtful.clear()


def test_secrets_of_before_are_told_once_there_is_access_control(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path, NOWHERE)
    with service:
        for name, variable in (("old", "HOME"), ("good", "KAFKA_PASSWORD")):
            words = ["--set", "sasl.mechanism=SCRAM-SHA-512", "--set", "sasl.username=u"]
            words += ["--set", f"sasl.password_env={variable}"]
            made = run_command(service, "connection", "create", name, "--kafka", NOWHERE, *words)
            assert made.returncode == 0, made.stderr
        service.stop()
        assert not service.events("secrets_elsewhere")
        text = service.config_path.read_text()
        access = '[access]\nenabled = true\nsecrets_variable_prefix = "KAFKA_"\n'
        service.config_path.write_text(text.replace("[http]", f"{access}[http]", 1))
        service.start()
        (told,) = service.events("secrets_elsewhere")
        assert (told["connection"], told["settings"]) == ("old", "sasl.password_env")
        socket = f"unix:{socket_path(service.store)}"
        listed = json.loads(run_command(service, "connections", "--json", address=socket).stdout)
        elsewhere = {each["name"]: each["secrets_elsewhere"] for each in listed}
        assert elsewhere == {"default": [], "good": [], "old": ["sasl.password_env"]}
        shown = run_command(service, "connections", address=socket).stdout
        assert "secrets elsewhere: sasl.password_env" in " ".join(shown.split())


@pytest.mark.kafka
def test_no_child_of_the_service_learns_a_token(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    """Neither by its memory, which is what a core dump has of it, nor by how it was started."""
    topic = topic_name("children")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 2_000))
    secret = OF_FILE.rpartition("_")[2].encode()
    query = "select count(*) from " + ", ".join(f"log('{topic}') log{n}" for n in range(6))

    async def look(service: TokenService) -> None:
        async with (
            Client(service.address, token=OF_FILE) as client,
            client.subscribe("task", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
            grpc.aio.insecure_channel(service.address) as channel,
        ):
            async for batch in stream:
                if batch.next_position == 2_000:
                    break
            shown = (("authorization", f"Bearer {OF_FILE}"),)
            stub: Any = admin_pb2_grpc.AdminStub(channel)
            running = stub.RunSql(sql_pb2.RunSqlRequest(sql=query), metadata=shown, timeout=120)
            answer = asyncio.ensure_future(running.read())
            while len(service.reader_pids()) < 2:  # a reader, and the query
                assert not answer.done(), answer
                await asyncio.sleep(0.1)
            children = service.reader_pids()
            for pid in children:
                assert not in_memory(pid, secret), pid
                process = psutil.Process(pid)
                assert secret.decode() not in f"{process.cmdline()} {process.environ()}"
            running.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            assert in_memory(service.pid, secret), "the service itself is shown it"

    with TokenService(tmp_path, kafka.bootstrap) as service:
        asyncio.run(look(service))
        service.stop()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert service.log_path in files
        assert not [path for path in files if secret in path.read_bytes()]
