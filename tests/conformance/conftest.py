"""Every implementation of a port, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import Catalogue


@pytest.fixture(params=["duckdb", "memory"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalogue]:
    """An empty catalogue."""
    opened: Catalogue = (
        MemoryCatalogue()
        if request.param == "memory"
        else DuckDBCatalogue(tmp_path / "catalogue.duckdb")
    )
    yield opened
    opened.close()
