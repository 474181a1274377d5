"""docs/sinks.md names every setting of every sink, and its defaults; its examples are of use."""

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import msgspec
import pytest

from cachesvc.sync import SinkKind, TaskContext
from cachesvc.sync.sinks.http import HTTP
from cachesvc.sync.sinks.jsonl import JSONL
from cachesvc.sync.sinks.parquet import PARQUET
from cachesvc.sync.sinks.postgres import POSTGRES

PAGE = (Path(__file__).parents[3] / "docs" / "sinks.md").read_text()
MODEL = "Columns from the topic's model"
KINDS = {
    "PostgreSQL": ("postgres", POSTGRES),
    "Parquet": ("parquet", PARQUET),
    "JSON lines": ("jsonl", JSONL),
    "HTTP": ("http", HTTP),
}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("title", KINDS)
def test_every_setting_is_described_and_none_that_is_not_there(title: str) -> None:
    _, kind = KINDS[title]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section(title), re.MULTILINE)
    described = [name for names, _ in rows for name in re.findall(r"`([a-z_]+)`", names)]
    assert sorted(described) == sorted(kind.settings.__struct_fields__)


@pytest.mark.parametrize("title", KINDS)
def test_the_example_is_taken(title: str) -> None:
    name, kind = KINDS[title]
    (example,) = re.findall(r"```toml\n(.*?)```", section(title), re.DOTALL)
    table = tomllib.loads(example)["sink"]
    assert table.pop("kind") == name
    msgspec.convert(table, kind.settings)


def test_the_example_of_a_model_is_taken() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", section(MODEL), re.DOTALL)
    settings = msgspec.convert(
        {name: each for name, each in tomllib.loads(example)["sink"].items() if name != "kind"},
        POSTGRES.settings,
    )
    assert (settings.create, settings.create_from) == ("model", "after")
    POSTGRES.make(settings, TaskContext("t"))


def test_the_installed_kinds_are_those_of_the_page() -> None:
    found: dict[str, SinkKind] = {
        name: each.load()
        for name, _ in KINDS.values()
        for each in entry_points(group="cachesvc.sinks", name=name)
    }
    assert found == dict(KINDS.values())
