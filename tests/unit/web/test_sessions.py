from __future__ import annotations

from cachesvc.web.sessions import SESSIONS_MAX, Sessions


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_session_is_over_after_a_while_without_use_and_at_an_age() -> None:
    clock = Clock()
    sessions = Sessions(idle_s=10, age_s=25, clock=clock)
    used, idle = (sessions.begin("t", "ops", ()).key for _ in range(2))
    for _ in range(2):
        clock.now_s += 9
        assert sessions.find(used)
    assert sessions.find(idle) is None
    clock.now_s += 8
    assert sessions.find(used) is None


def test_the_session_that_was_not_used_for_longest_makes_room() -> None:
    sessions = Sessions()
    first, second = (sessions.begin("t", name, ()).key for name in ("a", "b"))
    assert sessions.find(first)
    for _ in range(SESSIONS_MAX - 1):
        sessions.begin("t", "c", ())
    assert sessions.find(first)
    assert sessions.find(second) is None


def test_an_ended_session_is_not_found() -> None:
    sessions = Sessions()
    key = sessions.begin("t", "ops", ()).key
    sessions.end(key)
    sessions.end(key)
    assert sessions.find(key) is None


def test_form_tokens_fit_their_own_session_and_process_alone() -> None:
    sessions = Sessions()
    one, other = (sessions.begin("t", "ops", ()).key for _ in range(2))
    assert sessions.form_token(one) == sessions.form_token(one)
    assert sessions.form_token(one) != sessions.form_token(other)
    assert sessions.form_token(one) != Sessions().form_token(one)


def test_notes_are_told_once_and_bounded() -> None:
    session = Sessions().begin("t", "ops", ())
    for number in range(9):
        session.note(str(number))
    assert session.take_notes() == ["4", "5", "6", "7", "8"]
    assert session.take_notes() == []
