from __future__ import annotations

import asyncio

from cachesvc.serving.turns import AHEAD_BYTES_MAX, ROUND_MESSAGES_MAX, Share, Turns


async def _send(turns: Turns, share: Share, messages: int, size: int, sent: list[Share]) -> None:
    for _ in range(messages):
        await turns.take(share)
        sent.append(share)
        share.sent_bytes += size


def test_one_alone_never_waits() -> None:
    async def scenario() -> None:
        turns, share = Turns(), Share()
        for _ in range(3 * ROUND_MESSAGES_MAX):
            taken = turns.take(share).__await__()
            assert next(taken, "at once") == "at once"
            share.sent_bytes += 100
            await asyncio.sleep(0)  # as its write would

    asyncio.run(scenario())


def test_a_round_of_the_loop_has_few_messages() -> None:
    async def scenario() -> None:
        turns, sent = Turns(), list[Share]()
        tasks = [asyncio.create_task(_send(turns, Share(), 20, 100, sent)) for _ in range(50)]
        before = most = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            most, before = max(most, len(sent) - before), len(sent)
        assert len(sent) == 50 * 20
        # Those that were let go in one round run in the next, beside those that find it free.
        assert most <= 2 * ROUND_MESSAGES_MAX

    asyncio.run(scenario())


def test_who_comes_late_is_sent_what_the_others_have() -> None:
    async def scenario() -> None:
        turns, sent = Turns(), list[Share]()
        early, late = [Share() for _ in range(40)], [Share() for _ in range(40)]
        async with asyncio.TaskGroup() as tasks:
            for share in early:
                tasks.create_task(_send(turns, share, 100, 1_000, sent))
            while len(sent) < 40 * 50:  # noqa: ASYNC110 (a moment in between, not an event)
                await asyncio.sleep(0)
            for share in late:
                tasks.create_task(_send(turns, share, 100, 1_000, sent))
        middle = sent[: len(sent) * 4 // 5]
        counts = [sum(each is share for each in middle) for share in (*early, *late)]
        assert max(counts) - min(counts) <= 1 + ROUND_MESSAGES_MAX // 4

    asyncio.run(scenario())


def test_who_comes_very_late_does_not_keep_the_others_for_long() -> None:
    async def scenario() -> None:
        turns, sent = Turns(), list[Share]()
        old = Share(1_000 * AHEAD_BYTES_MAX)
        await turns.take(old)
        newcomer = Share()
        await turns.take(newcomer)
        assert newcomer.sent_bytes == 999 * AHEAD_BYTES_MAX
        assert not sent

    asyncio.run(scenario())


def test_who_stops_waiting_keeps_nobody() -> None:
    async def scenario() -> None:
        turns, sent = Turns(), list[Share]()
        gone = [asyncio.create_task(_send(turns, Share(), 1, 1, sent)) for _ in range(100)]
        await asyncio.sleep(0)
        last = asyncio.create_task(_send(turns, Share(1), 1, 1, sent))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        async with asyncio.timeout(60):
            await last
        assert len(sent) <= 2 * ROUND_MESSAGES_MAX

    asyncio.run(scenario())
