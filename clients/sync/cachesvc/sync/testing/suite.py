"""What every sink has to do."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cachesvc.client import Positions
from cachesvc.sync.errors import BatchRefused, ChangesRefused
from cachesvc.sync.sink import ForgettingSink, SharedSink, Sink
from cachesvc.sync.testing.target import (
    SinkTarget,
    expect,
    expect_at_least_once,
    expect_moved,
    expect_positions,
)
from cachesvc.sync.testing.writes import Write, changes, delete, delivery, put

NOTES = ("", "plain", 'tab\t, line\n, quote" and backslash\\', "ä € 𝄞", "\\N", "'; drop", "\u2028")
_PATIENCE_S = 120.0


class SinkSuite:
    """What every sink has to do. A subclass has a fixture ``target``; see above."""

    def test_what_was_confirmed_is_there_in_order(self, target: SinkTarget) -> None:
        """Several partitions, and several pieces of one partition in one delivery."""
        first = [put(n, 0, note=NOTES[n % len(NOTES)]) for n in range(20)]
        second = [put(n, 1, note=NOTES[n % len(NOTES)]) for n in range(5)]
        third = [put(n, 0) for n in range(20, 30)]
        fourth = [put(n, 1) for n in range(7, 9)]

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes(first), changes(second, 1), changes(third)))
            expect(target, first + third, second)
            await sink.write(delivery(changes(fourth, 1)))

        _run(target, story)
        expect(target, first + third, second + fourth)

    def test_updates_and_deletes_apply_in_order(self, target: SinkTarget) -> None:
        """Of several changes of one row in one delivery the last one counts."""
        one = [put(0), put(1), put(2), put(3, of=0, note="new"), delete(4, of=1)]
        two = [delete(5, of=0), put(6, of=0, note="again"), put(7, of=2), delete(8, of=2)]
        three = [put(9, of=1, note="back"), delete(10, of=77)]

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes(one)))
            expect(target, one)
            await sink.write(delivery(changes(two[:2]), changes(two[2:])))
            expect(target, one + two)
            await sink.write(delivery(changes(three)))

        _run(target, story)
        expect(target, one + two + three)

    def test_a_delivery_without_rows_moves_positions_alone(self, target: SinkTarget) -> None:
        """Where every record was dropped on the way."""

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes([put(0)])))
            await sink.write(delivery(changes([], next_position=500)))
            await sink.write(delivery(changes([], 1, next_position=3), changes([put(500)])))
            expect_positions(await sink.open(), {0: 501, 1: 3})

        _run(target, story)
        expect(target, [put(0), put(500)])

    def test_positions_that_a_target_keeps_are_there_after_a_restart(
        self, target: SinkTarget
    ) -> None:
        """They belong to one task, and to an incarnation of a topic."""

        async def before(sink: Sink) -> None:
            found = await sink.open()
            assert not found, f"a new task begins with {found!r}"
            await sink.write(delivery(changes([put(0)]), changes([put(4, 1)], 1, 9)))
            await sink.write(delivery(changes([put(1)], next_position=7)))

        async def after(sink: Sink) -> None:
            expect_positions(await sink.open(), {0: 7, 1: 9})
            await sink.write(delivery(changes([put(7)])))
            expect_positions(await sink.open(), {0: 8, 1: 9})

        _run(target, before)
        _run(target, after)
        expect(target, [put(0), put(1), put(7)], [put(4, 1)])

        async def other(sink: Sink) -> None:
            assert not await sink.open(), "another task of the same target has positions of its own"

        _run(target, other, task="another")

    def test_a_target_that_forgot_its_positions_begins_anew(self, target: SinkTarget) -> None:
        """What was written stays, and what is earlier is written again."""
        writes = [put(0), put(1), put(2)]

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes(writes), changes([put(4, 1)], 1, 9)))
            if await sink.open() and isinstance(sink, ForgettingSink):
                await sink.forget()
                expect(target, writes, [put(4, 1)])
                assert not await sink.open(), "a position is still there"
                await sink.write(delivery(changes(writes[1:])))
                expect_positions(await sink.open(), {0: 3})

        async def other(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes([put(7, 2)], 2)))

        async def other_again(sink: Sink) -> None:
            expect_positions(await sink.open(), {2: 8})

        _run(target, other, task="another")
        _run(target, story)
        _run(target, other_again, task="another")
        if target.holds == "rows":
            expect(target, writes, [put(4, 1)])
        else:
            expect_at_least_once(target, writes)

    def test_a_delivery_may_come_again(self, target: SinkTarget) -> None:
        """Whose confirmation was lost: nothing is missing, nothing in another order."""
        one = delivery(changes([put(0), put(1), put(2, of=0)]))
        two = delivery(changes([put(3), delete(4, of=1)]))

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.write(one)
            await sink.open()
            await sink.write(two)

        async def again(sink: Sink) -> None:
            kept = await sink.open()
            if kept is None:
                await sink.write(two)

        _run(target, story)
        _run(target, again)
        writes = [put(0), put(1), put(2, of=0), put(3), delete(4, of=1)]
        if target.holds == "rows":
            expect(target, writes)
        else:
            expect_at_least_once(target, writes)

    def test_changes_of_one_record_may_come_apart(self, target: SinkTarget) -> None:
        """A transform may split a record, and a refused delivery is cut at any row."""
        writes = [replace(put(n), offset=3) for n in range(4)]

        async def story(sink: Sink) -> None:
            await sink.open()
            whole = changes(writes)
            for row in range(len(writes)):
                await sink.write(delivery(whole.slice(row, row + 1)))
            expect_positions(await sink.open(), {0: 4})

        _run(target, story)
        expect(target, writes)

    def test_opening_again_keeps_what_is_there(self, target: SinkTarget) -> None:
        """The runner opens again after trouble, an open sink as well as a new one."""

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.open()
            await sink.write(delivery(changes([put(0)])))
            await sink.close()
            await sink.open()
            await sink.write(delivery(changes([put(1)])))
            await sink.open()

        async def later(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes([put(2)])))

        _run(target, story)
        _run(target, later)
        expect(target, [put(0), put(1), put(2)])

    def test_closing_is_idempotent(self, target: SinkTarget) -> None:
        """And possible without having opened."""

        async def story(sink: Sink) -> None:
            await sink.close()
            await sink.open()
            await sink.close()
            await sink.close()

        _run(target, story)
        expect(target, [])

    def test_what_another_task_has_moved_is_not_written(self, target: SinkTarget) -> None:
        """Of a sink that tasks may share; of one partition a single one is first, ever."""
        if not isinstance(target.make(), SharedSink):
            return

        async def story(one: SharedSink, other: SharedSink) -> None:
            await one.open()
            await other.open()
            await one.write(delivery(changes([put(0), put(1)])))
            await other.write(delivery(changes([put(0, 1)], 1)))
            await expect_moved(other, delivery(changes([put(0)]), changes([put(1, 1)], 1)))
            await other.open()
            expect_positions(await other.read_positions(), {0: 2, 1: 1})
            await other.write(delivery(changes([put(2)]), changes([put(1, 1)], 1)))
            await expect_moved(one, delivery(changes([put(2)])))
            await one.open()
            await one.write(delivery(changes([put(3)])))
            expect_positions(await one.read_positions(), {0: 4, 1: 2})

        _run_shared(target, story)
        expect(target, [put(n) for n in range(4)], [put(0, 1), put(1, 1)])

    def test_a_cancelled_write_can_be_done_again(self, target: SinkTarget) -> None:
        """At any moment; afterwards nothing is missing, and order holds."""
        pieces = [[put(n) for n in range(begin, begin + 50)] for begin in range(0, 400, 50)]

        async def story(sink: Sink) -> None:
            await sink.open()
            for turn, piece in enumerate(pieces):
                given = delivery(changes(piece))
                writing = asyncio.ensure_future(sink.write(given))
                for _ in range(turn):
                    await asyncio.sleep(0.0005 * turn)
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                kept = await sink.open()
                if kept is None or _before(kept, given.positions):
                    await sink.write(given)

        _run(target, story)
        writes = [write for piece in pieces for write in piece]
        if target.holds == "rows":
            expect(target, writes)
        else:
            expect_at_least_once(target, writes)

    def test_a_change_that_is_refused_is_named_or_found(self, target: SinkTarget) -> None:
        """The good ones of its delivery can be written, and do not come twice."""
        if target.refused is None:
            return
        good = [put(n) for n in range(6)]
        bad = Write(6, 6, target.refused)
        rest = [put(n) for n in range(7, 9)]

        async def story(sink: Sink) -> None:
            await sink.open()
            given = delivery(changes([put(0, 1)], 1), changes([*good, bad, *rest]))
            try:
                await sink.write(given)
            except ChangesRefused as error:
                named = [(refusal.changes, refusal.row) for refusal in error.refusals]
                assert named == [(1, 6)], f"named {named} instead of row 6 of the second"
            except BatchRefused:
                await _expect_refused(sink, bad)
            else:
                raise AssertionError("what can never be written was confirmed")
            await sink.write(delivery(changes([put(0, 1)], 1), changes(good), changes(rest)))

        _run(target, story)
        if target.holds == "rows":
            expect(target, good + rest, [put(0, 1)])
        else:
            expect_at_least_once(target, good + rest)

    def test_a_check_passes_and_leaves_nothing(self, target: SinkTarget) -> None:
        """Before anything was opened, and on an open sink."""

        async def story(sink: Sink) -> None:
            await _expect_checks(sink)
            await sink.open()
            await _expect_checks(sink)
            await sink.write(delivery(changes([put(0)])))
            await _expect_checks(sink)
            await sink.write(delivery(changes([put(1)])))

        _run(target, story)
        expect(target, [put(0), put(1)])

    def test_large_values_and_many_rows(self, target: SinkTarget) -> None:
        """A row of 384 KiB, which every target takes as installed, between many small ones."""
        writes = [put(n) for n in range(3_000)]
        writes[1_500] = put(1_500, note="ä" * (1 << 16))

        async def story(sink: Sink) -> None:
            await sink.open()
            await sink.write(delivery(changes(writes)))

        _run(target, story)
        expect(target, writes)


def _run(
    target: SinkTarget, story: Callable[[Sink], Awaitable[None]], task: str = "conformance"
) -> None:
    """Lets a new sink live through a story, and closes it."""

    async def live() -> None:
        sink = target.make(task)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await story(sink)
        finally:
            await sink.close()

    asyncio.run(live())


def _run_shared(
    target: SinkTarget, story: Callable[[SharedSink, SharedSink], Awaitable[None]]
) -> None:
    """Lets two sinks of one subscription live through a story, and closes them."""

    async def live() -> None:
        one, other = (target.make(shared=True) for _ in range(2))
        assert isinstance(one, SharedSink)
        assert isinstance(other, SharedSink)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await story(one, other)
        finally:
            await one.close()
            await other.close()

    asyncio.run(live())


async def _expect_refused(sink: Sink, bad: Write) -> None:
    """On its own it is refused too, so that the runner finds it."""
    try:
        await sink.write(delivery(changes([bad])))
    except (BatchRefused, ChangesRefused):
        return
    raise AssertionError("refused among others, but not alone")


async def _expect_checks(sink: Sink) -> None:
    checks = await sink.check()
    assert checks, "nothing was tried"
    failed = [check for check in checks if not check.passed]
    assert not failed, f"failed: {failed}"


def _before(kept: Positions, wanted: Positions) -> bool:
    return any(key not in kept or position.is_after(kept[key]) for key, position in wanted.items())
