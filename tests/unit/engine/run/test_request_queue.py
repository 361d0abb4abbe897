"""The order in which a run's requests are sent."""

import asyncio

from support import fake_time

from tsn_frames.engine.run.request_queue import PendingRequest, RetryQueue


def test_where_a_retry_is_the_better_probe_rows_that_were_never_sent_are_held_back():
    paused, taken = [True], []

    async def main():
        queue = RetryQueue((PendingRequest(i, None) for i in range(4)), fake_time.now, lambda: "retry" if paused[0] else None)
        first = await queue.next()
        first.attempts = 1
        queue.requeue(first, 5.0)
        taken.append(((await queue.next()).index, fake_time.now()))  # the retry, though it is due only in 5 seconds
        paused[0] = False
        queue.done()
        taken.append(((await queue.next()).index, fake_time.now()))

    fake_time.run(main)
    assert taken == [(0, 5.0), (1, 5.0)]


def test_rows_that_were_never_sent_go_on_when_the_pause_is_over():
    paused, taken = [True], []

    async def main():
        queue = RetryQueue((PendingRequest(i, None) for i in range(2)), fake_time.now, lambda: "retry" if paused[0] else None)
        first = await queue.next()
        first.refusals = 1
        queue.requeue(first, 60.0)
        waiting = asyncio.ensure_future(queue.next())
        await asyncio.sleep(1)
        assert not waiting.done()
        paused[0] = False
        queue._out += 1
        queue.done()  # the answer that ended the pause
        taken.append(((await waiting).index, fake_time.now()))

    fake_time.run(main)
    assert taken == [(1, 1.0)]


def test_a_request_that_fails_again_and_again_holds_back_no_other():
    async def main():
        queue = RetryQueue((PendingRequest(i, None) for i in range(2)), fake_time.now, lambda: "retry")
        first = await queue.next()
        first.attempts = 2
        queue.requeue(first, 60.0)
        assert (await queue.next()).index == 1

    fake_time.run(main)


def test_where_an_unsent_row_is_the_better_probe_it_comes_from_beyond_the_neighbours_of_refused_rows():
    async def main():
        items = (PendingRequest(i, None) for i in range(300))
        queue = RetryQueue(items, fake_time.now, lambda: "unsent" if paused[0] else None)
        first = await queue.next()
        first.refusals, paused[0] = 1, True
        queue.requeue(first, 0.0)
        taken = [(await queue.next()).index, (await queue.next()).index]
        paused[0] = False
        return taken + [(await queue.next()).index for _ in range(3)]

    paused = [False]
    assert fake_time.run(main) == [100, 200, 0, 1, 2]


def test_the_end_of_a_request_wakes_no_worker_for_which_there_is_none():
    """At the end of a run with many in flight, each answer would wake all that have nothing to send."""
    looks = []

    def clock():
        looks.append(1)
        return fake_time.now()

    async def main():
        queue = RetryQueue((PendingRequest(i, None) for i in range(50)), clock)
        for _ in range(50):
            await queue.next()
        workers = [asyncio.ensure_future(queue.next()) for _ in range(50)]
        await asyncio.sleep(1)
        before = len(looks)
        for _ in range(49):
            queue.done()
            await asyncio.sleep(1)
        assert len(looks) == before
        queue.done()
        assert await asyncio.gather(*workers) == [None] * 50

    fake_time.run(main)
