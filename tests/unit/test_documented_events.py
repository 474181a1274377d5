"""docs/logs.md and the code name the same events, at the same levels."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}
Event = tuple[str, str]


def _lines(tree: ast.AST) -> Iterator[tuple[int, set[Event]]]:
    """Each line that a module logs: where, which events it may be, and at which level."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (level := _level(call.func)):
                    extra = [each.value for each in call.keywords if each.arg == "extra"]
                    names = (name for value in extra for name in _names(value, function))
                    yield call.lineno, {(name, level) for name in names}


def _level(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return LEVELS.get(function.attr, "") if function.value.id == "_log" else ""
    return ""


def _names(extra: ast.expr, function: ast.AST) -> Iterator[str]:
    """What stands for ``event`` in what is handed to the logger."""
    if isinstance(extra, ast.Dict):
        for key, value in zip(extra.keys, extra.values, strict=True):
            if key is None:
                yield from _names(value, function)
            elif isinstance(key, ast.Constant) and key.value == "event":
                yield from _texts(value)
    elif isinstance(extra, ast.Call):
        yield from (text for argument in extra.args for text in _texts(argument))
    elif isinstance(extra, ast.BinOp):
        yield from _names(extra.left, function)
        yield from _names(extra.right, function)
    elif isinstance(extra, ast.Name):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and extra.id in map(ast.unparse, node.targets):
                yield from _names(node.value, function)


def _texts(node: ast.expr) -> Iterator[str]:
    """One text, or one of two."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def test_every_event_is_documented_and_every_documented_event_is_logged() -> None:
    logged: set[Event] = set()
    for path in (ROOT / "cachesvc").rglob("*.py"):
        for line, events in _lines(ast.parse(path.read_text(encoding="utf-8"))):
            assert events, f"{path}:{line} names no event"
            logged |= events
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", text, re.MULTILINE)
    assert sorted(set(documented)) == sorted(logged)
    assert len(documented) == len(set(documented))
