"""The benchmarks run, and both sides deliver what the source has. Nothing here is timed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import main


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_both_sides_deliver_the_same_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    arguments = ["--only", "B2,B3,B5,B13P,B15", "--records", "5000", "--runs", "1"]
    arguments.append("--reuse")  # starting processes would be most of it
    status = main([*arguments, "--json", str(result), "--keep", str(tmp_path / "kept")])
    told = capsys.readouterr()
    assert status == 0, told.out + told.err
    content = json.loads(result.read_text())
    names = [figure["name"] for figure in content["figures"]]
    catching_up = ["B2", "B2r", "B2p", "B3", "B3r", "B3p", "B5", "B5d"]
    assert names == [*catching_up, "B13p", "B13u", "B13h", "B13e", "B15", "B15n", "B15p", "B15b"]
    assert content["passed"] is True
    assert "B2 catch-up as Python records" in told.out
