"""What settings leave out is not imported: it would be paid for by every start."""

from __future__ import annotations

import subprocess
import sys

import pytest

_RUN = """
import sys
from cachesvc.__main__ import main
sys.argv = ["cachesvc", *sys.argv[1:]]
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
_CONVERT = """
import sys
import pyarrow as pa
from cachesvc.arrow_alone import keep_pandas_out
keep_pandas_out()
found = pa.array([b"{}", None]).to_numpy(zero_copy_only=False).tolist()
assert found == [b"{}", None], found
assert "pandas" not in sys.modules
import pandas
keep_pandas_out()
assert sys.modules["pandas"] is pandas
"""
_HTTP = {"jinja2", "prometheus_client", "starlette", "uvicorn"}
_SIGNING_IN = {"cryptography", "joserfc"}
_ELSEWHERE = {"obstore", "opentelemetry", "pandas", "polars"}
_NOBODY_WITHOUT_SETTINGS = _HTTP | _SIGNING_IN | _ELSEWHERE


@pytest.mark.parametrize(
    ("command", "module", "not_there"),
    [
        ("serve", "cachesvc.app.service", _NOBODY_WITHOUT_SETTINGS),
        (
            "reader",
            "cachesvc.app.reader",
            _NOBODY_WITHOUT_SETTINGS | {"apscheduler", "duckdb", "pyarrow.parquet"},
        ),
        ("sql", "cachesvc.cli.sql", _NOBODY_WITHOUT_SETTINGS),
        ("tail", "cachesvc.cli.tail", _NOBODY_WITHOUT_SETTINGS),
        (
            "topics",
            "cachesvc.cli.topics",
            _NOBODY_WITHOUT_SETTINGS | {"numpy", "pyarrow", "duckdb", "aiokafka"},
        ),
    ],
)
def test_is_not_imported(command: str, module: str, not_there: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _RUN, command, "--help"], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert module in imported
    assert sorted(imported & not_there) == []


def test_arrow_does_without_pandas_once_it_was_told() -> None:
    subprocess.run([sys.executable, "-c", _CONVERT], check=True)
