from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import in_event_loop

FOLDER = Path(__file__).parents[2] / "clients" / "python" / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", EXAMPLES)
@in_event_loop
async def test_an_example_reads_everything(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    cache = FakeLogCache(Logs({("orders", 0): list(range(10)), ("orders", 1): []}))
    async with serving(cache) as target:
        await example.main(target, "orders")
    (subscribed,) = cache.subscriptions.values()
    assert subscribed.full_sync_done
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 40
