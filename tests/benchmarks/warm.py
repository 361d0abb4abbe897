"""A frame whose every answer is cached, and the same steps in a bare loop, in turns; prints one JSON line of medians.

``python tests/benchmarks/warm.py ROWS``; the cache is filled by a separate process, so that the peak of memory is the run's.
"""

import gc
import json
import multiprocessing
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
import zlib

import numpy as np
import orjson
import pandas as pd
import psutil

import tsn_frames as tsn
from tsn_frames.api.cache_key import base_hash
from tsn_frames.frames.prompt import render
from tsn_frames.verbs.run.plan import plan

PROMPT, SYSTEM = "Summarise: {text}", "You are a careful reader."


def answer(number):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"answer {number} " + "and so on " * 10},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}
    return json.dumps(
        {
            "id": f"chatcmpl-{number:012d}",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
    ).encode()


def frame(rows):
    """Texts of about 100 characters."""
    return pd.DataFrame({"text": [f"{number:07d} " + "word " * 18 for number in range(rows)]})


def client_of(folder):
    return tsn.Client("http://127.0.0.1:9", model="m", cache=folder, ledger=f"{folder}/ledger.db")


def fill(folder, rows, results):
    """Put an answer for every row into the cache; report the CPU seconds of keys and of writes."""
    client, df = client_of(folder), frame(rows)
    begun = time.process_time()
    keys = plan(client, render(df, PROMPT, None, SYSTEM, "skip"), {"model": "m"}, {}).requests.keys
    keyed = time.process_time()
    store = client.cache.open()
    for start in range(0, len(keys), 512):
        store.write([(key, answer(number), 1.7e9) for number, key in enumerate(keys[start : start + 512], start)])
    store.close()
    results.put((keyed - begun, time.process_time() - keyed))


def filled(folder, rows):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=fill, args=(folder, rows, results))
    child.start()
    seconds = results.get()
    child.join()
    return seconds


def bare(client, df):
    """The same steps as one would write them for this frame alone, and nothing around them.

    It renders, keys, scans the table, compares checksums, parses with orjson, checks types, and makes the same eight
    columns. It leaves out what is ours to promise: gaps, other templates, equal rows, surrogates and lengths; whether a row
    of the table is sound; counts that can't be; the model, the time, thoughts, cached tokens; errors, summary, warnings,
    the run's card and what it saved; a loop on another thread that can be interrupted.
    """
    texts = ["Summarise: " + text for text in df["text"].tolist()]
    head = b'{"model":"m","messages":[{"role":"system","content":' + orjson.dumps(SYSTEM) + b'},{"role":"user","content":'
    base = base_hash(client.base_url, 0, head)
    index = {}
    for at, text in enumerate(texts):
        one = base.copy()
        one.update(orjson.dumps(text) + b"}]}")
        index[one.digest()] = at
    contents, reasons, prompts, completions, totals = ([None] * len(texts) for _ in range(5))
    connection = sqlite3.connect(client.cache.file)
    for key, body, tag in connection.execute("SELECT key, value, tag FROM Cache NOT INDEXED"):
        at = index.get(key)
        if at is None or tag != zlib.crc32(body, zlib.crc32(key)):
            continue
        data = orjson.loads(body)
        choice, usage = data["choices"][0], data["usage"]
        content, reason = choice["message"]["content"], choice["finish_reason"]
        prompt, completion, total = usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
        if type(content) is str and type(reason) is str and type(prompt) is type(completion) is type(total) is int:
            contents[at], reasons[at], prompts[at], completions[at], totals[at] = content, reason, prompt, completion, total
    connection.close()
    return df.assign(
        content=pd.array(contents, dtype="string"),
        finish_reason=pd.array(reasons, dtype="string"),
        prompt_tokens=pd.array(prompts, dtype="Int64"),
        completion_tokens=pd.array(completions, dtype="Int64"),
        total_tokens=pd.array(totals, dtype="Int64"),
        cost=pd.array(np.zeros(len(texts)), dtype="Float64"),
        cached=pd.array(np.ones(len(texts), dtype=bool), dtype="boolean"),
        error=pd.array([None] * len(texts), dtype="string"),
    )


def ours(client, df):
    return df.tsn.complete(PROMPT, system=SYSTEM, client=client, progress=False)


def seconds(work, *arguments):
    """Return the CPU seconds of some work, all threads; its result is freed after the clock has stopped.

    What others left is collected before, so that neither contender pays for the other.
    """
    gc.collect()
    begun = time.process_time()
    out = work(*arguments)
    spent = time.process_time() - begun
    assert out["content"].notna().all() and out["cached"].all()
    return spent


def main():
    rows, folder = int(sys.argv[1]), tempfile.mkdtemp()
    keys, writes = filled(folder, rows)
    client, df = client_of(folder), frame(rows)
    gc.collect()
    before = psutil.Process().memory_info().rss
    runs = [seconds(ours, client, df)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    loops = [seconds(bare, client, df)]
    for _ in range(4 if rows <= 100_000 else 2):
        runs.append(seconds(ours, client, df))
        loops.append(seconds(bare, client, df))
    found = {
        "ours": rows / statistics.median(runs),
        "bare": rows / statistics.median(loops),
        "ratio": statistics.median(loops) / statistics.median(runs),
        "keys": keys / rows * 1e6,
        "writes": writes / rows * 1e6,
        "grown_mib": (peak - before) / 2**20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
