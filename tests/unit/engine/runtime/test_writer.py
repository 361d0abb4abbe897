"""The thread that commits: rows that come close together share a commit, and none is lost or waits for the next one."""

import asyncio
import time

from tsn_frames.engine.ledger.file import Entry
from tsn_frames.engine.ledger.ledger import Ledger
from tsn_frames.engine.runtime.writer import APART, Writer


def entry(number):
    known = {"run": "r", "host": "h", "model": "m", "outcome": "answered", "request_key": b"%032d" % number, "seconds": 0.1}
    values = {"time": float(number), "prompt_tokens": number} | known
    return Entry(**{name: values.get(name) for name in Entry._fields})


def test_rows_that_come_close_together_share_a_commit(tmp_path):
    ledger, done = Ledger(tmp_path / "ledger.db"), []

    async def work():
        writer = Writer(ledger, None)
        for number in range(100):
            writer.put(entry(number)).add_done_callback(lambda _: done.append(time.monotonic()))
            await asyncio.sleep(0.001)
        await writer.aclose()

    begun = time.monotonic()
    asyncio.run(work())
    seconds = time.monotonic() - begun
    assert [one.prompt_tokens for one in ledger.entries()] == list(range(100))
    commits = 1 + sum(later - earlier > 0.001 for earlier, later in zip(done, done[1:]))
    assert len(done) == 100
    assert commits <= 10 + seconds / APART, "not one a row"


def test_a_row_that_comes_alone_does_not_wait_for_others(tmp_path, monkeypatch):
    monkeypatch.setattr("tsn_frames.engine.runtime.writer.APART", 0.4)

    async def work():
        writer, took = Writer(Ledger(tmp_path / "ledger.db"), None), []
        for number in range(3):
            begun = time.monotonic()
            await writer.put(entry(number))
            took.append(time.monotonic() - begun)
            await asyncio.sleep(0.5)
        await writer.aclose()
        return took

    assert min(asyncio.run(work())) < 0.2


def test_whatever_the_moment_of_the_end_all_is_written(tmp_path):
    async def work(path, number, pause):
        writer = Writer(Ledger(path), None)
        waiting = [writer.put(entry(one)) for one in range(number)]
        await asyncio.sleep(pause)
        await writer.aclose()
        assert all(one.done() for one in waiting)

    for number, pause in [(0, 0), (1, 0), (1, 0.004), (700, 0), (2000, 0.006)]:
        path = tmp_path / f"{number}-{pause}.db"
        asyncio.run(work(path, number, pause))
        assert len(list(Ledger(path).entries())) == number
