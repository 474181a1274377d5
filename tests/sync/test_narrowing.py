from cachesvc.client import Position, Positions
from cachesvc.sync import Refusal
from cachesvc.sync.runner.narrowing import (
    Part,
    ahead,
    behind,
    fell_back,
    halves,
    went_back,
    without,
)
from tests.sync.pieces import ends_of, offsets_of, piece
from tests.sync.stage import at

TWO = Part([piece([0, 1, 2]), piece([7, 8], partition=1)])


def shape(part: Part) -> tuple[list[list[int]], list[int]]:
    return offsets_of(part.pieces), ends_of(part.pieces)


def test_halves_follow_one_another() -> None:
    first, last = halves(TWO)
    assert shape(first) == ([[0, 1]], [2])
    assert shape(last) == ([[2], [7, 8]], [3, 9])


def test_halving_ends_at_single_rows() -> None:
    rest, single = [Part([piece([0, 1, 1, 1, 4]), piece([]), piece([9], partition=1)])], []
    while rest:
        part = rest.pop(0)
        if part.row_count > 1:
            rest[:0] = halves(part)
        else:
            single.append([o for rows in offsets_of(part.pieces) for o in rows])
    assert [each for each in single if each] == [[0], [1], [1], [1], [4], [9]]


def test_what_is_refused_is_left_out_and_its_position_stays() -> None:
    left = without(
        TWO, [Refusal(0, 1, "BAD", ""), Refusal(1, 0, "BAD", ""), Refusal(1, 1, "BAD", "")]
    )
    assert shape(left) == ([[0, 2], []], [3, 9])
    assert left.pieces[0].original.column("offset").to_pylist() == [0, 1, 2]


def test_what_the_target_has_is_left_out() -> None:
    assert behind(TWO, at(3, 9)) is None
    left = behind(TWO, at(2, 7))
    assert left is not None and shape(left) == ([[2], [7, 8]], [3, 9])
    left = behind(TWO, at(3))
    assert left is not None and shape(left) == ([[7, 8]], [9])


def test_what_comes_twice_is_left_once() -> None:
    """As where a partition was lost and is there again, before what was read is written."""
    part = Part([piece([0, 1]), piece([7], partition=1), piece([0, 1, 2]), piece([1])])
    left = behind(part, at(1))
    assert left is not None and shape(left) == ([[1], [7], [2]], [2, 8, 3])


def test_positions_ahead_of_others_and_behind_them() -> None:
    assert ahead(at(3), at(2, 5)) == [Position("orders", 1, 5, 1)]
    assert ahead(at(3, 5), at(4, 5)) == [Position("orders", 0, 4, 1)]
    assert fell_back(at(3, 9), at(2, 9)) == at(2)
    assert fell_back(at(3, 9), Positions()) == Positions()


def test_positions_of_another_incarnation_say_nothing_of_this_one() -> None:
    older = Positions([Position("orders", 0, 100, 0), Position("orders", 1, 100, 2)])
    left = behind(Part([piece([0]), piece([1], partition=1)]), older)
    assert left is not None and shape(left) == ([[0]], [1])


def test_a_target_that_lacks_what_it_confirmed_went_back() -> None:
    assert went_back(at(3, 9), at(3, 9)) is None
    assert went_back(at(3, 9), at(4, 10)) is None
    assert went_back(at(3, 9), at(3, 8)) == Position("orders", 1, 9, 1)
    assert went_back(at(3, 9), at(3)) == Position("orders", 1, 9, 1)
