from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cachesvc.cli.main import RootGroup
from tests.unit.cli.conftest import Run

HEAVY = ("grpc", "rich", "duckdb", "pyarrow", "aiokafka", "msgspec", "asyncio", "cachesvc.app")


def test_help_lists_the_commands(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    listed = {words[0] for words in lines if words}
    assert {"serve", "reader", "tail", "lag", "jobs", "subscriptions", "version"} <= listed


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from cachesvc.cli.main import app\n"
        "try: app(sys.argv[1:], prog_name='cachesvc')\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "name", [name for name in RootGroup.table if name not in ("serve", "reader")]
)
def test_every_command_has_help(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0, result.output
    assert f"Usage: cachesvc {name}" in result.stdout


def test_a_typing_error_is_answered_with_what_was_meant(run: Run) -> None:
    result = run("subscription")
    assert result.exit_code == 2
    assert "No such command 'subscription'" in result.stderr
    assert "'subscriptions'" in result.stderr


def test_version(run: Run) -> None:
    result = run("version")
    assert result.exit_code == 0
    assert result.stdout.startswith("cachesvc ")
