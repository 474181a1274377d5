from __future__ import annotations

import json

import grpc

from cachesvc.v1 import models_pb2 as pb
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS


def summary(topic: str = "orders", *, truncated: bool = False) -> pb.ModelSummary:
    return pb.ModelSummary(
        connection="main",
        topic=topic,
        incarnation=1,
        field_count=3,
        truncated=truncated,
        records_seen=12_345,
        first_seen_ms=TIME_MS,
        last_seen_ms=TIME_MS,
        refreshed_ms=TIME_MS,
        changed_ms=TIME_MS,
    )


def field(path: str, name: str, depth: int, *kinds: int, absent: bool = False) -> pb.ModelField:
    return pb.ModelField(
        path=path,
        name=name,
        depth=depth,
        types=[pb.ModelType(type=kind) for kind in kinds],  # type: ignore[arg-type]
        nullable=absent or pb.JSON_NULL in kinds,
        absent_seen=absent,
        first_seen_ms=TIME_MS,
        last_seen_ms=TIME_MS,
        example="" if pb.JSON_OBJECT in kinds else '"x\\u0000"',
    )


MODEL = pb.Model(
    summary=summary(),
    fields=[
        field("$", "$", 0, pb.JSON_OBJECT),
        field("$.after", "after", 1, pb.JSON_NULL, pb.JSON_OBJECT, absent=True),
        field('$.after."a.b"', "a.b", 2, pb.JSON_INTEGER, pb.JSON_STRING),
    ],
    changes=[
        pb.ModelChange(
            noted_ms=TIME_MS,
            kind=pb.TYPE_ADDED,
            path='$.after."a.b"',
            types=[pb.JSON_STRING],
            first_seen_ms=TIME_MS,
        ),
        pb.ModelChange(noted_ms=TIME_MS, kind=pb.FIELD_OPTIONAL, path="$.after"),
    ],
)


def test_list(run: Run, service: FakeService) -> None:
    pages = [
        pb.ListModelsResponse(models=[summary("a"), summary("b", truncated=True)]),
        pb.ListModelsResponse(models=[summary("c")]),
    ]
    service.answer("ListModels", *pages)
    rows = [" ".join(row.split()) for row in run("models").stdout.splitlines()[1:]]
    assert rows[0] == f"main a 3 12,345 {TIME} {TIME} {TIME}"
    assert rows[1].startswith("main b 3+ ")
    assert len(rows) == 3
    listed = json.loads(run("models", "--connection", "main", "--json").stdout)
    assert [model["topic"] for model in listed] == ["a", "b", "c"]
    assert service.requests[-1] == pb.ListModelsRequest(connection="main")


def test_nothing_yet(run: Run, service: FakeService) -> None:
    result = run("models")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "jobs run models" in result.stderr


def test_show(run: Run, service: FakeService) -> None:
    service.answer("DescribeModel", pb.DescribeModelResponse(model=MODEL))
    facts, fields, changes = run("models", "show", "orders").stdout.split("\n\n")
    assert "records seen: 12,345" in facts
    assert [line.split("  ")[0] or line for line in fields.splitlines()[1:2]] == ["$"]
    assert [" ".join(line.split()) for line in fields.splitlines()[1:]] == [
        f"$ object never {TIME} {TIME}",
        f"after null | object null, absent {TIME} {TIME}",
        f'a.b integer | string never {TIME} {TIME} "x\\u0000"',
    ]
    assert fields.splitlines()[3].startswith("    a.b ")
    assert [" ".join(line.split()) for line in changes.splitlines()[1:]] == [
        f'{TIME} type added $.after."a.b" string {TIME}',
        f"{TIME} field optional $.after - -",
    ]
    assert service.requests == [pb.DescribeModelRequest(topic="orders")]


def test_show_as_json(run: Run, service: FakeService) -> None:
    service.answer("DescribeModel", pb.DescribeModelResponse(model=MODEL))
    shown = json.loads(run("models", "show", "orders", "--json").stdout)
    assert shown["fields"][1]["types"][0]["type"] == "JSON_NULL"
    assert shown["changes"][1]["first_seen_ms"] is None


def test_show_none(run: Run, service: FakeService) -> None:
    service.refuse("DescribeModel", grpc.StatusCode.NOT_FOUND, "there is no model", "UNKNOWN_MODEL")
    assert run("models", "show", "orders").exit_code == 4
