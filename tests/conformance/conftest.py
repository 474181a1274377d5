"""Every implementation of a port, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from cachesvc.store import layout
from cachesvc.store.catalogues import catch_up, open_catalogue
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import Catalogue


@pytest.fixture(params=["duckdb", "memory"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalogue]:
    """An empty catalogue.

    With ``CACHESVC_REPEAT_CHANGES`` set, whatever a test does to it has to be there again when a
    rebuild repeats it; that takes as long as the tests themselves.
    """
    if request.param == "memory":
        yield MemoryCatalogue()
        return
    with closing(open_catalogue(tmp_path)) as opened:
        yield opened
    if "CACHESVC_REPEAT_CHANGES" not in os.environ or "copies" in request.node.nodeid:
        return
    again = tmp_path / "again.duckdb"
    assert catch_up(tmp_path, again).whole
    assert _rows(again) == _rows(tmp_path / layout.CATALOGUE)


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that is in a catalogue, but for the number of its last change and when it was made."""
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        tables = connection.execute("select table_name from duckdb_tables()").fetchall()
        return {
            name: sorted(connection.execute(f'from "{name}"').fetchall(), key=repr)
            for (name,) in tables
            if name not in ("changes", "meta")
        }
