from cachesvc.sync.sinks.postgres.straight import StraightCopy


def tries(straight: StraightCopy, copies: int, rows_there: bool) -> list[int]:
    """Which of so many copies were tried straight."""
    tried = []
    for number in range(copies):
        if straight.worth_a_try():
            tried.append(number)
            (straight.met_a_row if rows_there else straight.went_well)()
    return tried


def test_an_initial_load_is_straight_all_the_way() -> None:
    assert tries(StraightCopy(), 5, rows_there=False) == [0, 1, 2, 3, 4]


def test_tries_in_vain_become_rare_but_never_end() -> None:
    straight = StraightCopy()
    assert tries(straight, 40, rows_there=True) == [0, 2, 5, 10, 19, 36]
    assert len(tries(straight, 5_000, rows_there=True)) >= 4


def test_after_new_rows_alone_it_is_trusted_again() -> None:
    straight = StraightCopy()
    tries(straight, 10, rows_there=True)
    tries(straight, 100, rows_there=False)
    assert tries(straight, 3, rows_there=True) == [0, 2]
