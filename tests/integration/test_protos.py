"""proto/ as clients in any language take it, and the rules of buf.yaml that keep it so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from cachesvc.v1 import (
    access_pb2,
    admin_pb2,
    alarms_pb2,
    audit_pb2,
    connection_test_pb2,
    connections_pb2,
    filters_pb2,
    log_cache_pb2,
    mining_pb2,
    mining_tasks_pb2,
    models_pb2,
    retention_pb2,
    sql_pb2,
    stores_pb2,
    watching_pb2,
)

ROOT = Path(__file__).parents[2]
LOG_CACHE = Path("proto/cachesvc/v1/log_cache.proto")
FILES = [
    access_pb2,
    admin_pb2,
    alarms_pb2,
    audit_pb2,
    connection_test_pb2,
    connections_pb2,
    filters_pb2,
    log_cache_pb2,
    mining_pb2,
    mining_tasks_pb2,
    models_pb2,
    retention_pb2,
    sql_pb2,
    stores_pb2,
    watching_pb2,
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The protos, their rules and the last release, to be changed."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def buf(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "buf"), *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def change(directory: Path, before: str, after: str) -> None:
    text = (directory / LOG_CACHE).read_text(encoding="utf-8")
    assert before in text
    (directory / LOG_CACHE).write_text(text.replace(before, after), encoding="utf-8")


def messages(of: Iterator[Descriptor]) -> Iterator[Descriptor]:
    for message in of:
        yield message
        yield from messages(iter(message.nested_types))


def test_every_file_is_looked_at() -> None:
    names = {path.name for path in (ROOT / "proto/cachesvc/v1").iterdir()}
    assert names == {Path(each.DESCRIPTOR.name).name for each in FILES}


def test_no_two_fields_have_one_accessor_in_java() -> None:
    """A text ``x`` has ``getXBytes``, an enumeration ``getXValue``; no compiler of protos tells."""
    for file in FILES:
        for message in messages(iter(file.DESCRIPTOR.message_types_by_name.values())):
            names = {field.name for field in message.fields}
            for field in message.fields:
                taken = set()
                if field.type == FieldDescriptor.TYPE_STRING:
                    taken.add(f"{field.name}_bytes")
                if field.type == FieldDescriptor.TYPE_ENUM:
                    taken.add(f"{field.name}_value")
                if field.is_repeated:
                    taken |= {f"{field.name}_list", f"{field.name}_count"}
                assert not taken & names, f"{message.full_name}.{field.name}"


def test_protos_pass_and_break_nothing(copy: Path) -> None:
    assert buf(copy, "lint").stdout == ""
    assert buf(copy, "breaking", "--against", "proto/released.binpb").stdout == ""


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("  // The next offset that the cache will accept.\n", "", "COMMENT_FIELD"),
        ("  ARROW_COMPRESSION_NONE = 3;", "  SNAPPY = 3;", "ENUM_VALUE_PREFIX"),
        ("returns (CommitResponse)", "returns (Positions)", "RPC_RESPONSE_STANDARD_NAME"),
    ],
    ids=["comment", "prefix", "response"],
)
def test_what_is_against_the_rules_is_found(copy: Path, before: str, after: str, rule: str) -> None:
    change(copy, before, after)
    found = buf(copy, "lint", "--error-format", "json")
    assert found.returncode != 0
    assert rule in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("int32 message_bytes_max = 20;", "int32 message_bytes_max = 21;"),
        ("int32 message_bytes_max = 20;", "int64 message_bytes_max = 20;"),
        ("int32 record_count = 6;", "int32 records_count = 6;"),
        ("  INCREMENTAL = 1;", "  TAILING = 1;"),
        (
            "  // Idempotent. Refused",
            "  rpc X(CommitRequest) returns (CommitResponse);\n  // Refused",
        ),
    ],
    ids=["number", "type", "name", "value", "addition"],
)
def test_what_breaks_a_client_is_found(copy: Path, before: str, after: str) -> None:
    change(copy, before, after)
    found = buf(copy, "breaking", "--against", "proto/released.binpb")
    assert (found.returncode != 0) == ("rpc X" not in after), found.stdout + found.stderr
