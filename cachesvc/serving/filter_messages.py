"""From a request's filter and projection to what they mean."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from cachesvc.filters import Condition, Reduction, parse
from cachesvc.filters.conditions import (
    Literal,
    Path,
    Test,
    all_of,
    any_of,
    check,
    invalid,
    negated,
    number,
    of_header,
    of_key,
    of_time,
    of_value,
)
from cachesvc.filters.projection import projection
from cachesvc.v1 import filters_pb2, log_cache_pb2

Filtering = log_cache_pb2.SubscribeRequest | log_cache_pb2.TestFilterRequest
"""What may have a filter and a projection."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ORDERS = {
    "less": Test.LESS,
    "at_most": Test.AT_MOST,
    "greater": Test.GREATER,
    "at_least": Test.AT_LEAST,
}


def reduction(request: Filtering) -> Reduction | None:
    """What a subscriber wants less of; None if it wants all of everything.

    Raises:
        InvalidRequest: The filter or the projection is none (``INVALID_FILTER``).
    """
    wanted = request.projection
    left_out = projection(
        without_value=wanted.without_value,
        without_headers=wanted.without_headers,
        fields=wanted.fields,
        without_fields=wanted.without_fields,
    )
    condition = _condition(request)
    if condition is None and not left_out.text:
        return None
    return Reduction(condition, left_out)


def _condition(request: Filtering) -> Condition | None:
    if not request.HasField("filter"):
        return parse(request.filter_text) if request.filter_text else None
    if request.filter_text:
        raise invalid("give either filter or filter_text, and not both")
    found = condition(request.filter)
    check(found)
    return found


def condition(message: filters_pb2.Filter) -> Condition:
    """The condition that a message stands for; protobuf bounds how deep messages nest.

    Raises:
        InvalidRequest: It stands for none (``INVALID_FILTER``).
    """
    match message.WhichOneof("condition"):
        case "all_of":
            return all_of(map(condition, message.all_of.filters))
        case "any_of":
            return any_of(map(condition, message.any_of.filters))
        case "negated":
            return negated(condition(message.negated))
        case "key":
            return _of_bytes(of_key, message.key)
        case "header":
            name = message.header.name
            return _of_bytes(lambda *test: of_header(name, *test), message.header.value)
        case "timestamp":
            return _of_time(message.timestamp)
        case "field":
            return _of_field(message.field)
    raise invalid("a condition is empty")


def _of_bytes(
    make: Callable[[Test, Sequence[bytes]], Condition], message: filters_pb2.BytesTest
) -> Condition:
    match message.WhichOneof("test"):
        case "exists":
            return make(Test.EXISTS, ())
        case "equals":
            return make(Test.ONE_OF, (message.equals,))
        case "one_of":
            return make(Test.ONE_OF, message.one_of.values)
        case "prefix":
            return make(Test.STARTS_WITH, (message.prefix,))
        case "expression":
            return make(Test.MATCHES, (message.expression.encode(),))
    raise invalid("a test of a key or a header is empty")


def _of_time(message: filters_pb2.TimestampTest) -> Condition:
    match message.WhichOneof("test"):
        case "equals":
            return of_time(Test.ONE_OF, (message.equals,))
        case "one_of":
            return of_time(Test.ONE_OF, message.one_of.values)
        case "less" | "at_most" | "greater" | "at_least" as order:
            return of_time(_ORDERS[order], (getattr(message, order),))
    raise invalid("a test of the timestamp is empty")


def _of_field(message: filters_pb2.FieldTest) -> Condition:
    path = tuple(map(_step, message.path))
    match message.WhichOneof("test"):
        case "exists":
            return of_value(path, Test.EXISTS)
        case "equals":
            return of_value(path, Test.ONE_OF, (_literal(message.equals),))
        case "one_of":
            return of_value(path, Test.ONE_OF, map(_literal, message.one_of.values))
        case "prefix":
            return of_value(path, Test.STARTS_WITH, (message.prefix,))
        case "expression":
            return of_value(path, Test.MATCHES, (message.expression,))
        case "less" | "at_most" | "greater" | "at_least" as order:
            return _ordered(path, _ORDERS[order], _literal(getattr(message, order)))
    raise invalid("a test of a field is empty")


def _ordered(path: Path, test: Test, literal: Literal) -> Condition:
    if not isinstance(literal, str | Decimal):
        raise invalid("a field is less or greater than numbers and texts only")
    return of_value(path, test, (literal,))


def _step(message: filters_pb2.PathStep) -> str | int:
    match message.WhichOneof("step"):
        case "name":
            return message.name
        case "index":
            return message.index
    raise invalid("a step of a path is empty")


def _literal(message: filters_pb2.Literal) -> Literal:
    match message.WhichOneof("value"):
        case "text":
            return message.text
        case "number":
            if _NUMBER.fullmatch(message.number) is None:
                raise invalid(f"{message.number[:40]!a} is no number of JSON")
            return number(message.number)
        case "integer":
            return number(str(message.integer))
        case "boolean":
            return message.boolean
        case "null":
            return None
    raise invalid("a value to compare with is empty")
