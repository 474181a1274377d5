"""RE2 patterns that every JSON number matches which passes a test; others may match as well.

They look at the digits before the point. Those say nothing of a number with an exponent, so all of
these match. What follows a number in an object is no digit, and JSON has no leading zeros.
"""

from decimal import Decimal

from cachesvc.filters.conditions import Test

_ANY = "[0-9]"
_END = "[^0-9]"
_WITH_EXPONENT = r"-?[0-9]+(?:\.[0-9]+)?[eE]"
_DIGITS_MAX = 20


def number_pattern(test: Test, literal: Decimal) -> str | None:
    """The pattern; None where it would be too long.

    Args:
        test: ONE_OF, meaning equal, or an order.
        literal: What a number is compared with.
    """
    if literal.adjusted() >= _DIGITS_MAX:
        return None
    whole, below = int(abs(literal)), literal < 0
    if test is Test.ONE_OF:
        found = [f"-?{whole}{_END}"]
    elif test in (Test.LESS, Test.AT_MOST):
        found = [f"-{_at_least(whole)}"] if below else ["-", _at_most(whole)]
    elif below:
        found = [_ANY, f"-{_at_most(whole)}"]
    else:
        found = [_at_least(whole), *(["-0"] if not whole else [])]
    return "|".join([*found, _WITH_EXPONENT])


def _at_least(number: int) -> str:
    """Whole parts of that number or more."""
    if not number:
        return _ANY
    digits = str(number)
    greater = [
        f"{digits[:place]}[{int(digit) + 1}-9]{_any(len(digits) - place - 1)}"
        for place, digit in enumerate(digits)
        if digit != "9"
    ]
    return f"(?:(?:{'|'.join([digits, *greater])}){_END}|{_any(len(digits) + 1)})"


def _at_most(number: int) -> str:
    """Whole parts of that number or less."""
    digits = str(number)
    less = [
        f"{digits[:place]}[0-{int(digit) - 1}]{_any(len(digits) - place - 1)}"
        for place, digit in enumerate(digits)
        if digit != "0"
    ]
    shorter = [f"{_ANY}{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    return f"(?:{'|'.join([digits, *less, *shorter])}){_END}"


def _any(count: int) -> str:
    return f"{_ANY}{{{count}}}" if count else ""
