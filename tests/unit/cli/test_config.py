from __future__ import annotations

import json
import tomllib
from pathlib import Path

from cachesvc.cli.config import as_toml
from cachesvc.v1 import admin_pb2 as admin
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService


def without_nothing(value: object) -> object:
    """JSON without nulls, which TOML does not have."""
    if isinstance(value, dict):
        return {key: without_nothing(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nothing(item) for item in value]
    return value


def test_what_is_shown_is_a_file_that_says_the_same(run: Run, tmp_path: Path) -> None:
    flags = ("--kafka", "k:9092", "--topics", r"a\..*", "--store", str(tmp_path / 'a "b"'))
    shown = run("config", "show", *flags)
    assert shown.exit_code == 0, shown.output
    assert "# tls_key_file is not set" in shown.stdout
    file = tmp_path / "cachesvc.toml"
    file.write_text(shown.stdout)
    again = run("config", "show", "--config", str(file))
    assert again.stdout == shown.stdout
    as_json = json.loads(run("config", "show", "--config", str(file), "--json").stdout)
    assert as_json["connections"][0]["topic_expression"] == r"a\..*"
    assert tomllib.loads(shown.stdout) == without_nothing(as_json)


def test_the_file_may_be_named_by_a_variable(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[nothing]\n")
    result = run("config", "show", "--config", str(file))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {file}: nothing: no such setting")


def test_of_the_service(run: Run, service: FakeService) -> None:
    config = {"store": {"path": "/s"}, "jobs": {"sweep": {"grace_s": 1.0}}, "connections": []}
    service.answer("GetConfig", admin.GetConfigResponse(config_json=json.dumps(config)))
    result = run("config", "show", "--service")
    assert tomllib.loads(result.stdout) == config
    assert json.loads(run("config", "show", "--service", "--json").stdout) == config


def test_text_in_toml() -> None:
    table = {"text": 'tab\t"quote" \\ \x7f ä \x00', "none": None, "numbers": [1, 2.5]}
    lines = "\n".join(as_toml(table))
    assert tomllib.loads(lines) == {"text": table["text"], "numbers": [1, 2.5]}


def test_version_of_the_service(run: Run, service: FakeService) -> None:
    answer = admin.GetConfigResponse(version="1.2.3", store_format_version=4)
    service.answer("GetConfig", answer)
    result = run("version", "--service")
    assert "service version:      1.2.3" in result.stdout
    as_json = json.loads(run("version", "--service", "--json").stdout)
    assert as_json["service_version"] == "1.2.3"
    assert as_json["store_format_version"] == 4
