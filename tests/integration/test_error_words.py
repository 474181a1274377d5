"""docs/errors.md names the words of mining errors, of rejects, and of the client."""

import re
from pathlib import Path

from cachesvc.mining.source import ProblemReason
from cachesvc.model import RejectReason
from cachesvc.policy.blocking import Blockage, BlockReason

ROOT = Path(__file__).parents[2]
_REASON = re.compile(r"""(?:default_reason = |reason=)"([A-Z_]+)\"""")


def _section(heading: str) -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^- `([A-Z0-9_]+)`", section, re.MULTILINE))


def _of_the_service() -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE))


def test_words_of_mining_errors() -> None:
    blocked = Blockage(BlockReason.TOO_LARGE, 7, 0, "").told("orders", 0).partition(":")[0]
    words = {reason.value for reason in ProblemReason}
    assert _section("Words in a mining error") == {*words, blocked}


def test_words_of_rejects() -> None:
    assert _section("Words of a reject") == {reason.value for reason in RejectReason}


def test_words_of_the_client() -> None:
    sources = (ROOT / "clients" / "python" / "cachesvc" / "client").glob("*.py")
    used = {word for path in sources for word in _REASON.findall(path.read_text(encoding="utf-8"))}
    assert _section("Words of the Python client") == used - _of_the_service()
