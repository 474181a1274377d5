"""Conditions over the fields of an object, in a small part of Python's own grammar.

    op != "d" and after.price >= 100 and after.carrier in ["UA", "AA"]

Names and dots are fields; ``field("a b.c")`` is one whose path is no Python. Texts, numbers, lists
of them, ``true``, ``false`` and ``null`` are values. There are ``==``, ``!=``, ``<``, ``<=``,
``>``, ``>=``, ``in``, ``not in``, ``and``, ``or``, ``not``, and the functions ``exists(field)``,
``starts_with(field, "…")``, ``ends_with`` and ``contains``. Python parses it, and nothing else of
the language is taken: no calls of anything, no attributes of objects, no arithmetic.

Numbers are compared exactly, whatever their size. What is missing is null, and null is less or
greater than nothing. To order values of different types is an error of the row, not false.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, NoReturn

from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.transforms.documents import Object, Refused, parent_of, path_of, scalar

Evaluate = Callable[[Object], Any]

TEXT_MAX = 10_000
"""Characters of a condition."""

_CONSTANTS = {"true": True, "false": False, "null": None}
_EQUALITY: Mapping[type[ast.cmpop], bool] = {ast.Eq: True, ast.NotEq: False}
_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_TEXT_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": operator.contains,
}


def compiled(text: str) -> Callable[[Object], bool]:
    """The condition as a function, which raises `Refused` for objects that it cannot judge.

    Raises:
        InvalidTask: It is none.
    """
    if len(text) > TEXT_MAX:
        raise InvalidTask(f"a condition has at most {TEXT_MAX:,} characters")
    if not text.strip():
        raise InvalidTask("a condition is empty")
    within = f"({text}\n)"  # may have several lines
    try:
        evaluate = _Compiler(within).compile(ast.parse(within, mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise InvalidTask(f"the condition cannot be read: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise InvalidTask("the condition is nested too deeply") from error
    return lambda value: _truth(evaluate(value))


class _Compiler:
    """From the tree of Python's parser to functions.

    Args:
        text: What was parsed, for its numbers as they are written, and for errors.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def compile(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.BoolOp():
                return self._connected(node)
            case ast.UnaryOp(op=ast.Not()):
                inside = self.compile(node.operand)
                return lambda value: not _truth(inside(value))
            case ast.Compare():
                return self._compared(node)
            case ast.Call():
                return self._called(node)
            case ast.Name(id=name) if name in _CONSTANTS:
                return _constant(_CONSTANTS[name])
            case ast.Name() | ast.Attribute():
                return _field(self._path(node))
            case ast.Constant() | ast.List() | ast.Tuple() | ast.UnaryOp():
                return _constant(self._value(node))
        self._refuse(node)

    def _connected(self, node: ast.BoolOp) -> Evaluate:
        parts = [self.compile(part) for part in node.values]
        judge = all if isinstance(node.op, ast.And) else any
        return lambda value: judge(_truth(part(value)) for part in parts)

    def _compared(self, node: ast.Compare) -> Evaluate:
        sides = [self.compile(side) for side in (node.left, *node.comparators)]
        tests = [_test(op) or self._refuse(node) for op in node.ops]
        if len(tests) == 1:
            (test,), (left, right) = tests, sides
            return lambda value: test(left(value), right(value))

        def chained(value: Object) -> bool:
            found = [side(value) for side in sides]
            return all(test(*pair) for test, pair in zip(tests, pairwise(found), strict=True))

        return chained

    def _called(self, node: ast.Call) -> Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords:
            self._refuse(node)
        match name, node.args:
            case "field", [ast.Constant(value=str())]:
                return _field(self._path(node))
            case "exists", [of]:
                path = self._path(of)
                return lambda value: path[-1] in (parent_of(value, path) or {})
            case _, [of, ast.Constant(value=str(sought))] if name in _TEXT_TESTS:
                test, inside = _TEXT_TESTS[name], self.compile(of)
                return lambda value: _about_text(test, inside(value), sought)
        self._refuse(node)

    def _path(self, node: ast.expr) -> tuple[str, ...]:
        match node:
            case ast.Name(id=name):
                return (name,)
            case ast.Attribute(value=outer, attr=name):
                return (*self._path(outer), name)
            case ast.Call(func=ast.Name(id="field"), args=[ast.Constant(value=str(text))]):
                return path_of(text, "condition")
        self._refuse(node)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() | bool() | None as value):
                return value
            case ast.Constant(value=int(value)):
                return value
            case ast.Constant(value=float()):
                return Decimal(ast.get_source_segment(self._text, node) or "")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return -self._value(node.operand)
            case ast.Name(id=name) if name in _CONSTANTS:
                return _CONSTANTS[name]
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._value(part) for part in parts]
        self._refuse(node)

    def _refuse(self, node: ast.AST) -> NoReturn:
        segment = ast.get_source_segment(self._text, node) or self._text
        raise InvalidTask(f"a condition cannot have {segment!r}")


def _constant(value: Any) -> Evaluate:
    return lambda _: value


def _field(path: tuple[str, ...]) -> Evaluate:
    name = path[-1]
    if len(path) == 1:
        return lambda value: None if (node := value.get(name)) is None else scalar(node)

    def find(value: Object) -> Any:
        members = parent_of(value, path)
        node = None if members is None else members.get(name)
        return None if node is None else scalar(node)

    return find


def _test(op: ast.cmpop) -> Callable[[Any, Any], bool] | None:
    kind = type(op)
    if kind in _EQUALITY:
        wanted = _EQUALITY[kind]
        return lambda a, b: _equal(a, b) is wanted
    if kind in _ORDER:
        compare = _ORDER[kind]
        return lambda a, b: _ordered(compare, a, b)
    if kind in (ast.In, ast.NotIn):
        wanted = kind is ast.In
        return lambda a, b: _within(a, b) is wanted
    return None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | Decimal):
        return "number"
    if isinstance(value, str):
        return "text"
    return "null" if value is None else "array" if isinstance(value, list) else "object"


def _equal(a: Any, b: Any) -> bool:
    return _kind(a) == _kind(b) and bool(a == b)


def _ordered(compare: Callable[[Any, Any], bool], a: Any, b: Any) -> bool:
    if a is None or b is None:
        return False
    kinds = _kind(a), _kind(b)
    if kinds not in (("number", "number"), ("text", "text")):
        raise Refused("NOT_COMPARABLE", f"{kinds[0]} and {kinds[1]} have no order")
    return compare(a, b)


def _within(a: Any, b: Any) -> bool:
    if b is None:
        return False
    if not isinstance(b, list):
        raise Refused("NOT_COMPARABLE", f"nothing is in a value of type {_kind(b)}")
    return any(_equal(a, each) for each in b)


def _about_text(test: Callable[[str, str], bool], a: Any, sought: str) -> bool:
    if a is None:
        return False
    if not isinstance(a, str):
        raise Refused("NOT_COMPARABLE", f"a value of type {_kind(a)} is no text")
    return test(a, sought)


def _truth(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise Refused("NOT_COMPARABLE", f"a value of type {_kind(value)} is neither true nor false")
