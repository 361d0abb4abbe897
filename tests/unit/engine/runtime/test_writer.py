"""The thread that commits: rows that come close together share a commit, and none is lost or waits for the next one."""

import asyncio
import itertools
from types import SimpleNamespace

from support.waiting import SECONDS

from tsn_frames.engine.ledger.ledger import Ledger
from tsn_frames.engine.ledger.ledger_file import Entry
from tsn_frames.engine.runtime import writer as writer_module
from tsn_frames.engine.runtime.writer import BATCH, Writer


def entry(number):
    known = {"run": "r", "host": "h", "model": "m", "outcome": "answered", "request_key": b"%032d" % number, "seconds": 0.1}
    values = {"time": float(number), "prompt_tokens": number} | known
    return Entry(**{name: values.get(name) for name in Entry._fields})


def use_clock(monkeypatch, step):
    """Let a clock advance by so many seconds each time it is read, and an hour be the pause between two commits."""
    monkeypatch.setattr(writer_module, "time", SimpleNamespace(monotonic=itertools.count(10_000.0, step).__next__))
    monkeypatch.setattr(writer_module, "MIN_INTERVAL", 3600.0)


def test_rows_that_come_close_together_share_a_commit(tmp_path, monkeypatch):
    use_clock(monkeypatch, step=0.0)
    ledger, commits, rows = Ledger(tmp_path / "ledger.db"), [], 10 * BATCH
    save = writer_module._PendingRows.save

    def count(self, rows, **words):
        commits.append(len(rows))
        return save(self, rows, **words)

    monkeypatch.setattr(writer_module._PendingRows, "save", count)

    async def work():
        writer = Writer(ledger, None)
        for number in range(rows):
            writer.put(entry(number))
            await asyncio.sleep(0)
        await writer.aclose()

    asyncio.run(work())
    assert [one.prompt_tokens for one in ledger.entries()] == list(range(rows))
    assert sum(commits) == rows and len(commits) <= 1 + rows / BATCH + 1, "not one a row"


def test_a_row_that_comes_alone_does_not_wait_for_others(tmp_path, monkeypatch):
    use_clock(monkeypatch, step=3601.0)

    async def work():
        writer = Writer(Ledger(tmp_path / "ledger.db"), None)
        for number in range(3):
            await asyncio.wait_for(writer.put(entry(number)), SECONDS)  # one that waits for others waits an hour
        await writer.aclose()

    asyncio.run(work())


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
