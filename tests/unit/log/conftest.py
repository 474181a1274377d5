"""What tests of logs have in common."""

from __future__ import annotations

import pytest

from cachesvc.store import journal as journal_module
from cachesvc.store import parquet_file, recoding


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, row groups and frames of a few records, so that a short log has many."""
    monkeypatch.setattr(journal_module, "CHUNK_BYTES", 2_000)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 12)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 4)
    monkeypatch.setattr(recoding, "FRAME_ROWS", 4)
