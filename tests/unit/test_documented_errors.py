"""docs/errors.md and the code name the same reasons."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from cachesvc.model import GapCause

ROOT = Path(__file__).parents[2]
WORD = re.compile(r"[A-Z]+(_[A-Z]+)+|INTERNAL|SUPERSEDED|UNAUTHENTICATED")


def _reasons(tree: ast.AST) -> Iterator[str]:
    """Texts that stand where a reason does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "reason":
            yield from _texts(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == "default_reason" for t in targets):
                yield from _texts(node.value)
        elif isinstance(node, ast.Call) and _name(node.func) == "_end_subscriber":
            yield from _texts(node.args[1])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Trouble":
            yield from _texts(node.args[0])


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.Name):  # a constant is called as the reason that it is
            yield part.id


def reasons_in(path: Path) -> set[str]:
    """Texts of a module that stand where a reason does."""
    return set(_reasons(ast.parse(path.read_text(encoding="utf-8"))))


def test_every_reason_is_documented_and_every_documented_reason_is_used() -> None:
    used = {cause.name for cause in GapCause}
    for path in (ROOT / "cachesvc").rglob("*.py"):
        used.update(word for word in reasons_in(path) if WORD.fullmatch(word))
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE))
    assert documented == used
