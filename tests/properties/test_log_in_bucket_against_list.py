"""The store against its model, a plain list, with a bucket of a real S3 server as its other store.

As ``test_log_against_list``, with what is put there and deleted among the steps before which it is
killed. A crash copies the bucket's objects, too. CACHESVC_LOG_EXAMPLES makes it longer.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import pytest

from cachesvc.model import LOCAL_STORE
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.file_store import FileStore
from cachesvc.store.s3_files import S3Files
from tests.properties.test_log_against_list import (
    EXAMPLES,
    STRIDE,
    StoreMachine,
    count_steps,
    kill_before_steps,
    prepared,
    run_histories,
)
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.timeout(120 + 30 * EXAMPLES)

SHORT = STRIDE > 1
PUTS, DELETES = ("go on sealing", "compact", "move", "snapshot"), ("expire", "shed", "sweep")


class BucketMachine(StoreMachine):
    """Its second store is a bucket, below a prefix that is the place's own."""

    server: ClassVar[S3Server]

    def _objects(self, place: Path) -> Path:
        return self.server.bucket / f"{place.parent.name}-{place.name}"

    def _cold(self, place: Path) -> FileStore:
        settings = self.server.settings(self._objects(place).name, patience_s=30.0)
        return S3Files(settings, BlockCache(place / "blocks", 0))

    def _copy(self, place: Path, other: Path) -> None:
        super()._copy(place, other)
        if self._objects(place).exists():
            shutil.copytree(self._objects(place), self._objects(other))

    def _remove(self, place: Path) -> None:
        super()._remove(place)
        shutil.rmtree(self._objects(place), ignore_errors=True)

    def teardown(self) -> None:
        super().teardown()
        for each in self.server.bucket.glob(f"{self._root.name}-*"):
            shutil.rmtree(each)


@pytest.fixture(autouse=True)
def _on(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    count_steps(monkeypatch)
    monkeypatch.setattr(BucketMachine, "server", s3_server, raising=False)


@pytest.mark.parametrize("what", [*PUTS, *DELETES])
def test_a_kill_before_any_step_in_a_bucket_loses_nothing(what: str) -> None:
    with prepared(BucketMachine()) as machine:
        if what == "sweep":
            # Retires what is in the bucket.
            machine.move(LOCAL_STORE, whole=True, swept=False)
        machine.choose("cold")
        every = ("put",) if what in PUTS else ("delete",)
        kill_before_steps(what, machine, "cold", 3 * STRIDE if SHORT else 1, every)


def test_what_is_read_from_a_bucket_is_what_was_appended() -> None:
    run_histories(BucketMachine, EXAMPLES // 5 if SHORT else EXAMPLES)
