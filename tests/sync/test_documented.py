"""docs/sync-tasks.md names every setting and every reason of the runner."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachesvc.sync.alarms import KINDS
from cachesvc.sync.config import (
    AlarmsConfig,
    BatchConfig,
    ErrorsConfig,
    RetryConfig,
    SourceConfig,
    StartPosition,
    TaskConfig,
    TlsConfig,
)
from tests.unit.test_documented_errors import WORD, reasons_in

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "sync-tasks.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "clients" / "sync" / "cachesvc" / "sync"
OF_OTHERS = ("sinks", "transforms", "testing")


@pytest.mark.parametrize(
    "table",
    [
        AlarmsConfig,
        BatchConfig,
        ErrorsConfig,
        RetryConfig,
        SourceConfig,
        StartPosition,
        TaskConfig,
        TlsConfig,
    ],
)
def test_every_setting_is_documented(table: type[Any]) -> None:
    missing = [
        field.encode_name
        for field in msgspec.structs.fields(table)
        if not re.search(rf"`(\[+)?{field.encode_name}(\]+)?`|\b{field.encode_name} = ", TEXT)
    ]
    assert not missing


def test_every_reason_is_documented_and_every_documented_reason_is_used() -> None:
    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in OF_OTHERS:
            used.update(word for word in reasons_in(path) if WORD.fullmatch(word))
    listed = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", TEXT, re.MULTILINE)
    documented = {word for line in listed for word in re.findall(r"[A-Z_]+", line)}
    assert set(KINDS) <= documented
    # Modes and alarms stand in tables of their own, and INTERNAL is what nobody foresaw.
    others = {"FULL", "INCREMENTAL", "FULL_AND_INCREMENTAL", *KINDS}
    assert documented - others == used - {"INTERNAL"}
