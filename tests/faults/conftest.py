"""What tests of faults share as fixtures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import small_disk


@pytest.fixture(scope="session")
def read_only_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What refuses writes of a process that it is preloaded into."""
    library = tmp_path_factory.mktemp("read-only") / "read_only.so"
    source = Path(small_disk.__file__).with_name("read_only.c")
    build = ["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True, timeout=60)
    return library
