"""The examples of docs/transforms.md do what stands there."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from cachesvc.sync.transforms import TRANSFORMS, fused
from tests.sync.transforms.making import changes, transform, values_of

TEXT = (Path(__file__).parents[3] / "docs" / "transforms.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"(?:```python\n# (\w+)\.py\n((?:(?!```).)*)```\n)?"
    r"```toml\n((?:(?!```).)*)```\n```json\n((?:(?!```).)*)```\nbecomes\n```json\n((?:(?!```).)*)```",
    TEXT,
    re.DOTALL,
)


def values(lines: str) -> list[str | None]:
    return [None if line == "null" else line for line in lines.splitlines()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example(
    example: tuple[str, str, str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, code, toml, before, after = example
    if module:
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, module, raising=False)
    tables = tomllib.loads(toml)["transforms"]
    one = fused([transform(**table) for table in tables])
    assert len(one) == 1
    done = one[0].apply(changes(values(before)))
    assert done.refused == ()
    assert values_of(done) == values(after)


def test_every_kind_has_an_example_and_a_chapter() -> None:
    shown = {table["kind"] for each in EXAMPLES for table in tomllib.loads(each[2])["transforms"]}
    assert shown == set(TRANSFORMS)
    assert set(re.findall(r"^## (\w+)$", TEXT, re.MULTILINE)) == set(TRANSFORMS)


def test_every_reason_is_listed() -> None:
    sources = Path(sys.modules[fused.__module__].__file__ or "").parent.glob("*.py")
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    listed = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|TRUNCATE)`", TEXT))
    used = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+|TRUNCATE)"', code))
    assert listed - {"CHANGE_SCHEMA", "TRANSFORMS"} == used
