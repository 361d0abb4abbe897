"""Measure the client: cold runs against a bare protocol and AsyncOpenAI, warm runs against a bare loop of the same steps.

``python tests/benchmarks/bench.py`` writes ``docs/explanation/performance-results.md`` and a plot beside it;
``--small`` is a quick run for correctness that writes nothing. Rounds are interleaved and medians are shown: CPU seconds
of the client's process first, wall seconds second.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "explanation"
COLD = [(16, 0.05, 2_000), (64, 0.05, 5_000), (256, 0.05, 20_000), (1_000, 0.05, 20_000), (256, 0.5, 20_000)]
WARM = [10_000, 100_000, 1_000_000]
SLOW = {"openai": 64, "openai-aiohttp": 256}  # beyond that many workers a contender takes minutes and tells nothing new


class Server:
    """The simulator in a process of its own, so that its CPU isn't the client's."""

    def __init__(self, latency):
        command = [sys.executable, "-m", "tsn_frames", "simulate", "--latency", str(latency)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = next(word for word in self.process.stdout.readline().split() if word.startswith("http")).rstrip(":.,")

    def __enter__(self):
        return self.url

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def child(script, *words):
    done = subprocess.run([sys.executable, HERE / script, *map(str, words)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(runs, field):
    return statistics.median(run[field] for run in runs)


def cold(rounds, settings):
    """Return a line for each setting and contender."""
    lines = []
    for workers, latency, rows in settings:
        names = ["bare", "ours", *(name for name, most in SLOW.items() if workers <= most and latency < 0.1)]
        found = {name: [] for name in names}
        with Server(latency) as url:
            for _ in range(rounds):
                for name in names:
                    number = rows if name in ("bare", "ours") else min(rows, 5_000)
                    run = child("contenders.py", name, "--url", url, "--rows", number, "--workers", workers)
                    assert run["answered"] == number, run
                    found[name].append({**run, "cpu_row": run["cpu"] / number * 1e3, "rate": number / run["wall"]})
                    print(workers, latency, name, found[name][-1], flush=True)
        base = median(found["bare"], "cpu_row")
        for name in names:
            cpu, rate = median(found[name], "cpu_row"), median(found[name], "rate")
            ideal = rate / (workers / latency)
            lines.append((workers, latency, rows, name, cpu, cpu / base, rate, ideal, median(found[name], "peak_mib")))
    return lines


def warm(rounds, sizes):
    lines = []
    for rows in sizes:
        runs = [child("warm.py", rows) for _ in range(rounds if rows < 1_000_000 else 1)]
        print(rows, runs, flush=True)
        fields = ("ours", "bare", "keys", "writes", "grown_mib")
        lines.append((rows, *(median(runs, field) for field in fields)))
    return lines


def table(cold_lines, warm_lines):
    out = [
        "| workers | latency | rows | client | CPU ms a row | x bare | rows/s | of ideal | peak MiB |",
        "|---:|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    out += [f"| {w} | {x * 1000:.0f} ms | {n:,} | {name} | {cpu:.3f} | {ratio:.1f} | {rate:,.0f} | {ideal:.0%} | {peak:,.0f} |"
            for w, x, n, name, cpu, ratio, rate, ideal, peak in cold_lines]  # fmt: skip
    out += [
        "",
        "| warm rows | ours, rows/s by CPU | bare loop | ratio | keys us a row | writes us a row | memory above the frame, MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    out += [f"| {n:,} | {ours:,.0f} | {bare:,.0f} | {ours / bare:.2f} | {keys:.2f} | {writes:.1f} | {grown:,.0f} |"
            for n, ours, bare, keys, writes, grown in warm_lines]  # fmt: skip
    return "\n".join(out)


def plot(lines, path):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for name in dict.fromkeys(line[3] for line in lines):
        points = sorted((line[0], line[4]) for line in lines if line[3] == name and line[1] < 0.1)
        axes.plot(*zip(*points), marker="o", label=name)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="requests in flight at 50 ms",
        ylabel="client CPU, ms a row",
        title="What a row costs the client",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.small:
        print(table(cold(1, [(8, 0.01, 200)]), warm(1, [2_000])))
        return
    begun = time.time()
    cold_lines, warm_lines = cold(options.rounds, COLD), warm(options.rounds, WARM)
    stamp = (
        f"Python {sys.version.split()[0]}, {options.rounds} interleaved rounds, medians, {time.time() - begun:,.0f} s in all.\n\n"
    )
    (DOCS / "performance-results.md").write_text(
        "# Measured\n\n" + stamp + table(cold_lines, warm_lines) + "\n\n![client CPU a row](performance.png)\n"
    )
    plot(cold_lines, DOCS / "performance.png")
    print(table(cold_lines, warm_lines))


if __name__ == "__main__":
    tempfile.tempdir = None
    main()
