"""``cachesvc store``: stores of a file and of a service, against a real S3 server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from tests.support.service import ServiceProcess

CONFIG = """
[store]
path = "own"

[[stores]]
name = "cold"
kind = "s3"
default = true
bucket = "{bucket}"
prefix = "{prefix}"
endpoint = "http://127.0.0.1:{port}"
access_key_env = "COLD_ACCESS"
secret_key_env = "COLD_SECRET"
request_timeout_s = 5
retry_s = 1

[[stores]]
name = "big"
kind = "directory"
path = "big"

[[connections]]
name = "orders"
bootstrap_servers = ["127.0.0.1:1"]

[[connections]]
name = "payments"
bootstrap_servers = ["127.0.0.1:1"]
store = "local"
"""


def run(
    tmp_path: Path,
    server: S3Server,
    *arguments: str,
    secret: str = SECRET_KEY,
    bucket: str = BUCKET,
) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "cachesvc.toml"
    config.write_text(CONFIG.format(bucket=bucket, prefix=tmp_path.name, port=server.port))
    environment = {**os.environ, "COLD_ACCESS": ACCESS_KEY, "COLD_SECRET": secret}
    command = [sys.executable, "-m", "cachesvc", "store", *arguments, "--config", str(config)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def works(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {check["name"]: check["works"] for check in json.loads(answer.stdout)}


def test_stores_are_listed_with_who_uses_them(s3_server: S3Server, tmp_path: Path) -> None:
    answer = run(tmp_path, s3_server, "list", "--json")
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert list(rows) == ["local", "cold", "big"]
    assert [row["default"] for row in rows.values()] == [False, True, False]
    assert rows["cold"]["connections"] == ["orders"]
    assert rows["local"]["connections"] == ["payments"]
    assert rows["big"]["location"] == str(tmp_path / "big")


def test_a_store_that_works_passes_every_check(s3_server: S3Server, tmp_path: Path) -> None:
    for name in ("cold", "big"):
        answer = run(tmp_path, s3_server, "test", name, "--json")
        assert answer.returncode == 0, answer.stderr
        assert set(works(answer).values()) == {True}
    assert not list((s3_server.bucket / tmp_path.name).rglob("*[0-9a-f]"))


def test_a_wrong_secret_is_told_and_not_shown(s3_server: S3Server, tmp_path: Path) -> None:
    answer = run(tmp_path, s3_server, "test", "cold", secret="no-such-secret")
    assert answer.returncode == 1
    assert "✗ list" in answer.stdout
    assert "SignatureDoesNotMatch: the secret key does not fit" in answer.stdout
    assert "– write" in answer.stdout
    assert "no-such-secret" not in answer.stdout + answer.stderr


def test_a_bucket_that_is_not_there_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    answer = run(tmp_path, s3_server, "test", "cold", bucket="nowhere")
    assert answer.returncode == 1
    assert "NoSuchBucket: there is no such bucket" in answer.stdout


def test_a_name_that_is_none_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    answer = run(tmp_path, s3_server, "test", "warm")
    assert answer.returncode != 0
    assert "there are: local, cold, big" in answer.stderr


def test_stores_are_made_changed_and_removed_while_a_service_runs(
    s3_server: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET_KEY)
    (tmp_path / "access").write_text(ACCESS_KEY)
    with ServiceProcess(tmp_path / "service", "127.0.0.1:1") as service:

        def store(*arguments: str, code: int = 0) -> Any:
            command = [sys.executable, "-m", "cachesvc", "store", *arguments]
            command += ["--address", service.address, "--json"]
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=120, cwd=tmp_path
            )
            assert ended.returncode == code, ended.stderr
            return json.loads(ended.stdout) if ended.stdout else ended.stderr

        sets = {
            "kind": "s3",
            "bucket": BUCKET,
            "prefix": "made",
            "endpoint": f"http://127.0.0.1:{s3_server.port}",
            "access_key_file": "access",
            "secret_key_file": "secret",
            "default": "true",
            "retry_s": "1",
        }
        given = [each for name, value in sets.items() for each in ("--set", f"{name}={value}")]
        made = store("create", "cold", *given)
        assert made["default"] is True
        assert made["connections"] == ["default"]
        assert made["secret_key_file"] == str(tmp_path / "secret")
        assert made["last_test"] is None
        checks = store("test", "cold")
        assert [check["works"] for check in checks] == [True] * 7
        assert "STORE_IN_USE" in store("delete", "cold", code=5)

        service.kill()
        service.start()
        assert SECRET_KEY.encode() not in b"".join(
            path.read_bytes() for path in service.store.glob("catalogue*")
        )
        shown = store("show", "cold")
        assert shown["last_test"]["failed"] == ""
        rows = {row["name"]: row for row in store("list")}
        assert [row["default"] for row in rows.values()] == [False, True]
        changed = store("update", "cold", "--set", "default=false", "--unset", "retry_s")
        assert changed["default"] is False
        assert changed["retry_s"] == 20
        assert store("show", "local")["default"] is True
        assert store("delete", "cold") == {"deleted": "cold"}
        assert "UNKNOWN_STORE" in store("show", "cold", code=4)
        assert "STORE_IN_FILE" in store("delete", "local", code=5)
        assert "topic" in store("move", "nothing", "--to", "local", code=4)
        assert "give TOPIC" in store("move", "--to", "local", code=1)
