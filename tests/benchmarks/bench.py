"""Measure the client and write what was found into ``docs/explanation/performance.md``, with a plot beside it.

``python tests/benchmarks/bench.py [cold slow transports sizes warm]`` does all parts or some; ``--small`` is a quick run for
correctness that writes nothing. Every contender runs in its own process, the server too; rounds are interleaved and
medians are shown: CPU seconds of the client's process first, wall seconds second.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "explanation"
COLD = [(16, 0.05, 2_000), (64, 0.05, 5_000), (256, 0.05, 20_000), (1_000, 0.05, 20_000)]
SLOW = [(256, 0.5, 20_000)]
OTHERS = {"openai": 64, "openai-aiohttp": 256}  # beyond that many workers a contender takes minutes and shows nothing new
MOST_OF_OTHERS = 5_000
ENGINES = ["bare", "ours", "pyreqwest", "aiohttp", "httpx-aiohttp", "stock", "httpx"]
TRANSPORTS = [(64, 2_000), (256, 5_000)]
SIZES = [10_000, 100_000, 1_000_000]


class Server:
    """The simulator in its own process, so that its CPU isn't the client's."""

    def __init__(self, latency):
        command = [sys.executable, "-m", "tsn_frames", "simulate", "--latency", str(latency)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = next(word for word in self.process.stdout.readline().split() if word.startswith("http")).rstrip(":.,")

    def __enter__(self):
        return self.url

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def child(script, *words):
    done = subprocess.run([sys.executable, HERE / script, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {words} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(url, script, name, rows, workers):
    """Return one run with its CPU milliseconds a row and its rows a second."""
    run = child(script, name, "--url", url, "--rows", rows, "--workers", workers)
    assert run["answered"] == rows, run
    run |= {"cpu_row": run["cpu"] / rows * 1e3, "rate": rows / run["wall"]}
    print(script, workers, name, run, flush=True)
    return run


def median(runs, field):
    return statistics.median(run[field] for run in runs)


def cold(rounds, settings=COLD, others=OTHERS):
    """Whole runs, everything on, against a bare protocol and AsyncOpenAI."""
    found = {}
    for workers, latency, rows in settings:
        names = ["bare", "ours", *(name for name, most in others.items() if workers <= most and latency < 0.1)]
        with Server(latency) as url:
            for _ in range(rounds):
                for name in names:
                    number = min(rows, MOST_OF_OTHERS) if name in OTHERS else rows
                    run = measured(url, "contenders.py", name, number, workers)
                    found.setdefault((workers, latency, rows), {}).setdefault(name, []).append(run)
    return found


def cold_table(found):
    out = ["| workers | latency | rows | client | CPU ms a row | x bare | rows/s | of ideal | peak MiB |",
           "|---:|---:|---:|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for (workers, latency, rows), runs in found.items():
        base = median(runs["bare"], "cpu_row")
        for name, some in runs.items():
            cpu, rate, peak = (median(some, field) for field in ("cpu_row", "rate", "peak_mib"))
            number = min(rows, MOST_OF_OTHERS) if name in OTHERS else rows
            out.append(f"| {workers:,} | {latency * 1000:.0f} ms | {number:,} | {name} | {cpu:.3f} | {cpu / base:.1f} "
                       f"| {rate:,.0f} | {rate * latency / workers:.0%} | {peak:,.0f} |")  # fmt: skip
    return "\n".join(out)


def cold_claims(found):
    """What was asked, beside what this run found."""
    at = {key[:2]: runs for key, runs in found.items()}
    few, many, most = at[64, 0.05], at[256, 0.05], at[1_000, 0.05]
    cpu = {name: median(runs, "cpu_row") for name, runs in few.items()}
    rate = {name: median(runs, "rate") for name, runs in many.items()}
    lines = [
        ("64 workers, 50 ms: CPU of AsyncOpenAI + gather over ours", "at least 8", f"{cpu['openai'] / cpu['ours']:.1f}"),
        ("64 workers, 50 ms: our CPU over the bare protocol's", "at most 8", f"{cpu['ours'] / cpu['bare']:.1f}"),
        ("64 workers, 50 ms: rows/s of the ideal", "at least 75 %", f"{median(few['ours'], 'rate') * 0.05 / 64:.0%}"),
        ("256 workers, 50 ms: rows/s of the bare protocol's", "at least 50 %", f"{rate['ours'] / rate['bare']:.0%}"),
        ("256 workers, 50 ms: rows/s over AsyncOpenAI's with aiohttp", "at least 5", f"{rate['ours'] / rate['openai-aiohttp']:.1f}"),
        ("our CPU a row at 1,000 workers over that at 64", "at most 1.5", f"{median(most['ours'], 'cpu_row') / cpu['ours']:.2f}"),
    ]  # fmt: skip
    return _claims(lines)


def slow(rounds, settings=SLOW):
    """Answers that take long: what is left of the ideal after the first request, the slow start and the last answers."""
    found = cold(rounds, settings, {})
    ((workers, latency, _rows), runs), *_ = found.items()
    shares = [run["rate"] * latency / workers for run in runs["ours"]]
    what = f"{workers} workers, {latency * 1000:.0f} ms: rows/s of the ideal, the median of {rounds}"
    claim = (what, "at least 90 %", f"{statistics.median(shares):.1%} ({', '.join(f'{share:.1%}' for share in sorted(shares))})")
    return f"{_claims([claim])}\n\n{cold_table(found)}"


def _claims(lines):
    return "| asked | | found |\n|---|---|---:|\n" + "\n".join(f"| {what} | {aim} | {value} |" for what, aim, value in lines)


def transports(rounds, settings=TRANSPORTS, engines=tuple(ENGINES)):
    """The engines below the seam alone: no frame, no limiter, no cache."""
    out = ["| workers | engine | CPU ms a request | x bare | requests/s |", "|---:|---|---:|---:|---:|"]
    for workers, rows in settings:
        found = {name: [] for name in engines}
        with Server(0.05) as url:
            for _ in range(rounds):
                for name in engines:
                    number = rows // 10 if name == "httpx" else rows  # its own pool is quadratic
                    found[name].append(measured(url, "transports.py", name, number, workers))
        base = median(found["bare"], "cpu_row")
        for name, runs in found.items():
            cpu = median(runs, "cpu_row")
            out.append(f"| {workers} | {name} | {cpu:.3f} | {cpu / base:.1f} | {median(runs, 'rate'):,.0f} |")
    return "\n".join(out)


def sizes(_rounds, numbers=tuple(SIZES)):
    """Whether a row costs the same in a small frame and in a large one."""
    out = ["| rows | CPU ms a row | rows/s | peak MiB |", "|---:|---:|---:|---:|"]
    with Server(0.05) as url:
        for rows in numbers:
            run = measured(url, "contenders.py", "ours", rows, 256)
            out.append(f"| {rows:,} | {run['cpu_row']:.3f} | {run['rate']:,.0f} | {run['peak_mib']:,.0f} |")
    return "\n".join(out)


def warm(rounds, numbers=tuple(SIZES)):
    """A frame whose every answer is cached, against a bare loop of the same steps."""
    out = ["| warm rows | ours, rows/s by CPU | bare loop | ratio | keys us a row | writes us a row | memory above the frame, MiB |",
           "|---:|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for rows in numbers:
        runs = [child("warm.py", rows) for _ in range(rounds if rows < 1_000_000 else 1)]
        print("warm.py", rows, runs, flush=True)
        fields = ("ours", "bare", "ratio", "keys", "writes", "grown_mib")
        ours, bare, ratio, keys, writes, grown = (median(runs, name) for name in fields)
        out.append(f"| {rows:,} | {ours:,.0f} | {bare:,.0f} | {ratio:.2f} | {keys:.2f} | {writes:.1f} | {grown:,.0f} |")
    return "\n".join(out)


def plot(found, path):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = {"bare": "bare protocol", "ours": "tsn_frames", "openai": "AsyncOpenAI", "openai-aiohttp": "AsyncOpenAI, aiohttp"}
    colours = dict(zip(names, ["#777777", "#0b6e4f", "#b5651d", "#d9a066"]))
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, title in names.items():
        points = sorted((key[0], median(runs[name], "cpu_row")) for key, runs in found.items() if name in runs and key[1] < 0.1)
        axes.plot(*zip(*points), marker="o", color=colours[name])
        axes.annotate(title, points[-1], xytext=(6, 6), textcoords="offset points", color=colours[name], ha="right", va="bottom")
    workers = sorted({key[0] for key in found})
    axes.set(xscale="log", yscale="log", xlabel="requests in flight, 50 ms each", ylabel="CPU of the client, ms a row")
    axes.set_xticks(workers, [f"{number:,}" for number in workers])
    axes.set_yticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    axes.minorticks_off()
    axes.set_ylim(bottom=0.05)
    axes.set_title("What a row costs the client", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def put(part, text, begun):
    """Write a part's result into the page, between its marks."""
    page = DOCS / "performance.md"
    load = "; load of the machine at the end: " + ", ".join(f"{number:.1f}" for number in os.getloadavg()) if hasattr(os, "getloadavg") else ""  # fmt: skip
    stamp = f"*Python {sys.version.split()[0]}, {os.cpu_count()} cores, {time.time() - begun:,.0f} s in all{load}.*"
    start, end = f"<!-- {part}: written by bench.py -->\n", f"\n<!-- end of {part} -->"
    old = page.read_text(encoding="utf-8")
    new, count = re.subn(
        re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}\n{text}\n\n{stamp}\n{end}", old, flags=re.DOTALL
    )
    assert count == 1, f"{page} has no place for {part}"
    page.write_text(new, encoding="utf-8")


def small():
    """Run everything once, small: does it work, are all rows answered?"""
    print(cold_table(cold(1, [(8, 0.01, 200)], OTHERS if have("openai", "aiohttp") else {})))
    engines = ["bare", "ours", "stock", "httpx", *(["aiohttp"] if have("aiohttp") else [])]
    print(slow(1, [(64, 0.1, 500)]))
    print(transports(1, [(8, 200)], engines))
    print(sizes(1, [300]))
    print(warm(1, [2_000]))


def have(*modules):
    with contextlib.suppress(ImportError):
        for module in modules:
            __import__(module)
        return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=["cold", "slow", "transports", "sizes", "warm", []])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.small:
        small()
        return
    for part in options.parts or ["cold", "slow", "transports", "sizes", "warm"]:
        begun = time.time()
        found = {"cold": cold, "slow": slow, "transports": transports, "sizes": sizes, "warm": warm}[part](options.rounds)
        if part == "cold":
            plot(found, DOCS / "performance.png")
            found = f"{cold_claims(found)}\n\n{cold_table(found)}"
        put(part, found, begun)
        print(found, flush=True)


if __name__ == "__main__":
    main()
