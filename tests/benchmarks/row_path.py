"""Count the package's files on the path of one row, and the hand-overs between threads.

``python tests/benchmarks/row_path.py [--files]`` calls ``complete`` against a simulator in another process, for rows that
aren't cached and for the same rows from the cache. It prints one JSON line; ``--files`` lists what was counted, too. A call
before the measured ones has imported everything and started the loop's thread.

``row``
    Files of the package that execute for every row: those in which a call on 60 rows executes at least 30 lines more than
    a call on 30 rows, on whatever thread, from entering ``complete`` until it has returned the frame. A turn of a
    comprehension counts as a line. A constructor that ``dataclass`` or ``NamedTuple`` has generated counts for the file of
    its class. Executing a module when it is imported doesn't count, nor does the simulator.
``call``
    Files of the package that execute at all in a call on one row: what is done once for the whole frame, too.
``hand_overs``
    How often a row changes threads: each time that one thread gives another one the request, the answer or the news of
    it. Counted are ``call_soon_threadsafe`` on an event loop from another thread, ``submit`` to a pool of threads, ``put``
    on a ``queue.SimpleQueue`` by the package, and ``Event.set`` or ``OneShotEvent.ring`` by the package: in a call on one
    row, from entering ``complete`` until the row's outcome is set, and then the one that wakes the caller. Not counted are
    the lines that are written about the run as a whole (``Writer.note``) and the writer's end: no row waits for them.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from queue import SimpleQueue

import pandas as pd

import tsn_frames as tsn
from tsn_frames.engine.run import cross_process_single_flight
from tsn_frames.engine.runtime import interrupts

PACKAGE = Path(tsn.__file__).parent


class Tracer:
    """What one call executed, on all threads that began after the tracer was installed."""

    def __init__(self):
        self.on, self.lines, self.hand_overs, self.outcome_set = False, Counter(), [], False
        for module in (threading, sys):
            module.setprofile(self.profile)
            module.settrace(self.trace)

    def measure(self, work):
        self.lines, self.hand_overs, self.outcome_set, self.on = Counter(), [], False, True
        try:
            return work()
        finally:
            self.on = False

    def trace(self, frame, event, _):
        """Count the lines of the package's files; a call counts as one."""
        path = file_of(frame) if self.on else None
        if path is None or frame.f_code.co_name == "<module>":
            return None
        self.lines[path] += 1

        def line(_frame, event, _):
            self.lines[path] += self.on and event == "line"
            return line

        return line

    def profile(self, frame, event, function):
        """Count what gives something to another thread."""
        if not self.on:
            return
        name = frame.f_code.co_name
        if event == "c_call" and in_package(frame) and isinstance(getattr(function, "__self__", None), SimpleQueue):
            if function.__name__ == "put" and not called_by(frame, "note", "aclose"):
                self.handed_over("put", frame)
        elif event != "call":
            return
        elif name == "set" and file_of(frame) == "engine/outcomes.py":
            self.outcome_set = True
        elif (name == "call_soon_threadsafe" and frame.f_locals["self"]._thread_id != threading.get_ident()) or (
            name == "submit" and frame.f_code.co_filename.endswith("concurrent/futures/thread.py")
        ):
            self.handed_over(name, frame.f_back)
        elif (
            name == "ring" or (name == "set" and frame.f_code.co_filename == threading.__file__ and in_package(frame.f_back))
        ) and not called_by(frame.f_back, "note", "aclose"):
            self.handed_over(name, frame.f_back, wakes=True)

    def handed_over(self, kind, frame, *, wakes=False):
        if not self.outcome_set or (wakes and threading.current_thread().name == "tsn_frames"):
            self.hand_overs.append(f"{kind} by {Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}")


def file_of(frame):
    """Return the package's file of a function, also where it is generated for a class of that file."""
    name = frame.f_globals.get("__name__", "")
    if name.startswith("namedtuple_"):
        name = getattr(frame.f_locals.get("_cls"), "__module__", "")
    if name.partition(".")[0] != "tsn_frames":
        return None
    return Path(sys.modules[name].__file__).relative_to(PACKAGE).as_posix()


def in_package(frame):
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "tsn_frames"


def called_by(frame, *names):
    return in_package(frame) and (frame.f_code.co_name in names or called_by(frame.f_back, *names))


def measure(client, tracer):
    """Return what was counted for missed and for cached rows, by a call on 30 rows, on 60 and on one."""
    found = {}
    for cached in (False, True):
        lines = {}
        for number in (30, 60, 1):
            df = pd.DataFrame({"text": [f"{number}: {at}" for at in range(number)]})
            out = tracer.measure(lambda df=df: df.tsn.complete("{text}", client=client, progress=False))
            assert (out["cached"] == cached).all() and out["error"].isna().all(), out
            lines[number] = tracer.lines
        per_row = [path for path in lines[60] if lines[60][path] - lines[30][path] >= 30]
        found["cached" if cached else "missed"] = {
            "row": sorted(per_row), "call": sorted(lines[1]), "hand_overs": list(tracer.hand_overs),
        }  # fmt: skip
    return found


def main():
    tracer = Tracer()
    cross_process_single_flight.POLL = interrupts.POLL = 3600.0  # what they execute is so much a second, and no row's
    command = [sys.executable, "-m", "tsn_frames", "simulate", "--latency", "0.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, tempfile.TemporaryDirectory() as folder:
        try:
            url = next(word for word in server.stdout.readline().split() if word.startswith("http")).rstrip(":.,")
            client = tsn.Client(url, model="sim-small", cache=f"{folder}/cache", ledger=f"{folder}/ledger.db")
            pd.DataFrame({"text": ["first"]}).tsn.complete("{text}", client=client, progress=False)
            found = measure(client, tracer)
        finally:
            server.terminate()
    listed = "--files" in sys.argv
    print(json.dumps(found if listed else {name: {k: len(v) for k, v in one.items()} for name, one in found.items()},
                     indent=1 if listed else None))  # fmt: skip


if __name__ == "__main__":
    main()
