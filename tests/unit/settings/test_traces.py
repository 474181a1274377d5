"""Which endpoints of collectors are taken."""

from __future__ import annotations

import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.settings.traces import TracesConfig, check_traces


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("", "http"),
        ("http://127.0.0.1:4318", "http"),
        ("https://collector.example/otlp", "http"),
        ("http://[::1]:4317", "grpc"),
        ("https://collector.example/", "grpc"),
    ],
)
def test_endpoints(endpoint: str, protocol: str) -> None:
    check_traces(TracesConfig(endpoint=endpoint, protocol=protocol), "file")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("endpoint", "protocol", "problem"),
    [
        ("collector:4318", "http", "is no URL"),
        ("ftp://collector", "http", "is no URL"),
        ("http://", "http", "is no URL"),
        ("http://collector:port", "http", "is no URL"),
        ("http://collector:0", "http", "is no URL"),
        ("http://collector/a b", "http", "is no URL"),
        ("http://collector?key=1", "http", "is no URL"),
        ("http://me:hunter2@collector", "http", "has a user or password"),
        ("http://collector:4317/v1/traces", "grpc", "has a path"),
    ],
)
def test_what_is_no_endpoint(endpoint: str, protocol: str, problem: str) -> None:
    with pytest.raises(InvalidConfig, match=problem) as raised:
        check_traces(TracesConfig(endpoint=endpoint, protocol=protocol), "file")  # type: ignore[arg-type]
    assert str(raised.value).startswith("file: traces.endpoint: ")
    assert "hunter2" not in str(raised.value)
