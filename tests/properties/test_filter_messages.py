"""Filters as messages mean what the same conditions mean as text, and any message is one or not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.errors import InvalidRequest
from cachesvc.filters import Condition, parse
from cachesvc.filters.conditions import AllOf, AnyOf, Not, OfHeader, OfKey, OfTime, OfValue, Test
from cachesvc.serving.convert import subscribe_call
from cachesvc.serving.filter_messages import condition
from cachesvc.v1 import filters_pb2 as fpb
from cachesvc.v1 import log_cache_pb2 as pb
from tests.properties.test_filters import conditions

_FIELDS = {
    Test.LESS: "less",
    Test.AT_MOST: "at_most",
    Test.GREATER: "greater",
    Test.AT_LEAST: "at_least",
    Test.STARTS_WITH: "prefix",
    Test.MATCHES: "expression",
}


@given(conditions)
def test_a_message_means_what_the_text_means(wanted: Condition) -> None:
    message = message_of(wanted)
    assert condition(message) == wanted == parse(wanted.text)
    calls = [
        subscribe_call(
            pb.SubscribeRequest(subscription="s", topics=["t"], mode=pb.INCREMENTAL, **given_)
        )
        for given_ in ({"filter": message}, {"filter_text": wanted.text})
    ]
    reductions = [call.reduction for call in calls]
    assert reductions[0] is not None
    assert reductions[1] is not None
    assert reductions[0].text == reductions[1].text


@given(st.binary(max_size=80))
def test_any_bytes_are_a_filter_or_are_refused(data: bytes) -> None:
    try:
        message = fpb.Filter.FromString(data)
    except Exception:  # protobuf's, before anybody sees it
        return
    request = pb.SubscribeRequest(
        subscription="s", topics=["t"], mode=pb.INCREMENTAL, filter=message
    )
    try:
        assert subscribe_call(request).reduction is not None
    except InvalidRequest as error:
        refusal = error
    else:
        return
    assert refusal.reason == "INVALID_FILTER"


def message_of(wanted: Condition) -> fpb.Filter:
    match wanted:
        case AllOf():
            return fpb.Filter(all_of=fpb.FilterGroup(filters=map(message_of, wanted.parts)))
        case AnyOf():
            return fpb.Filter(any_of=fpb.FilterGroup(filters=map(message_of, wanted.parts)))
        case Not():
            return fpb.Filter(negated=message_of(wanted.part))
        case OfKey():
            return fpb.Filter(key=_bytes_test(wanted))
        case OfHeader():
            header = fpb.HeaderTest(name=wanted.name, value=_bytes_test(wanted))
            return fpb.Filter(header=header)
        case OfTime():
            return fpb.Filter(timestamp=_time_test(wanted))
        case OfValue():
            return fpb.Filter(field=_field_test(wanted))
    raise AssertionError(wanted)


def _bytes_test(wanted: OfKey | OfHeader) -> fpb.BytesTest:
    literals = wanted.literals
    match wanted.test:
        case Test.EXISTS:
            return fpb.BytesTest(exists=fpb.Presence())
        case Test.ONE_OF if len(literals) == 1:
            return fpb.BytesTest(equals=literals[0])
        case Test.ONE_OF:
            return fpb.BytesTest(one_of=fpb.BytesList(values=literals))
        case Test.MATCHES:
            return fpb.BytesTest(expression=literals[0].decode())
    return fpb.BytesTest(prefix=literals[0])


def _time_test(wanted: OfTime) -> fpb.TimestampTest:
    if wanted.test is not Test.ONE_OF:
        return fpb.TimestampTest(**{_FIELDS[wanted.test]: wanted.literals[0]})  # type: ignore[arg-type]
    if len(wanted.literals) == 1:
        return fpb.TimestampTest(equals=wanted.literals[0])
    return fpb.TimestampTest(one_of=fpb.TimestampList(values=wanted.literals))


def _field_test(wanted: OfValue) -> fpb.FieldTest:
    path = [
        fpb.PathStep(name=step) if isinstance(step, str) else fpb.PathStep(index=step)
        for step in wanted.path
    ]
    chosen: dict[str, Any]
    match wanted.test:
        case Test.EXISTS:
            chosen = {"exists": fpb.Presence()}
        case Test.ONE_OF if len(wanted.literals) == 1:
            chosen = {"equals": _literal(wanted.literals[0])}
        case Test.ONE_OF:
            chosen = {"one_of": fpb.LiteralList(values=map(_literal, wanted.literals))}
        case Test.STARTS_WITH | Test.MATCHES:
            chosen = {_FIELDS[wanted.test]: wanted.literals[0]}
        case _:
            chosen = {_FIELDS[wanted.test]: _literal(wanted.literals[0])}
    return fpb.FieldTest(path=path, **chosen)


def _literal(value: Any) -> fpb.Literal:
    match value:
        case None:
            return fpb.Literal(null=fpb.Presence())
        case bool():
            return fpb.Literal(boolean=value)
        case str():
            return fpb.Literal(text=value)
        case Decimal() if value == value.to_integral_value() and abs(value) < 1 << 62:
            return fpb.Literal(integer=int(value))
    return fpb.Literal(number=str(value))
