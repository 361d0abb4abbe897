"""A frame whose every answer is cached, and the same steps in a bare loop; prints one JSON line."""

import gc
import hashlib
import json
import resource
import sqlite3
import sys
import tempfile
import time

import orjson
import pandas as pd

import tsn_frames as tsn
from tsn_frames.engine.cache import base_hash
from tsn_frames.frames.prompt import render
from tsn_frames.verbs.plan import plan

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


def fill(client, df):
    """Put an answer for every row into the cache; return the CPU seconds of keys and of writes."""
    begun = time.process_time()
    made = plan(client, render(df, PROMPT, None, SYSTEM, "skip"), {"model": "m"}, {})
    keyed = time.process_time()
    store = client.cache.open()
    for start in range(0, len(df), 512):
        store.write(
            [(request.key, answer(number), 1.7e9) for number, request in enumerate(made.requests[start : start + 512], start)]
        )
    store.close()
    return keyed - begun, time.process_time() - keyed


def bare(client, df):
    """The same steps with nothing around them: render, key, look up, parse, columns."""
    begun = time.process_time()
    texts = ["Summarise: " + text for text in df["text"].tolist()]
    head = b'{"model":"m","messages":[{"role":"system","content":' + orjson.dumps(SYSTEM) + b'},{"role":"user","content":'
    base = base_hash(client.base_url, 0, head)
    assert base.name == hashlib.sha256().name
    keys = []
    for text in texts:
        one = base.copy()
        one.update(orjson.dumps(text) + b"}]}")
        keys.append(one.digest())
    wanted = set(keys)
    connection = sqlite3.connect(client.cache.file)
    found = {key: value for key, value in connection.execute("SELECT key, value FROM Cache") if key in wanted}
    connection.close()
    columns = [[], [], [], [], []]
    for key in keys:
        data = orjson.loads(found[key])
        choice, usage = data["choices"][0], data["usage"]
        columns[0].append(choice["message"]["content"])
        columns[1].append(choice["finish_reason"])
        for column, name in zip(columns[2:], ("prompt_tokens", "completion_tokens", "total_tokens")):
            column.append(usage[name])
    kinds = ["string", "string", "Int64", "Int64", "Int64"]
    df.assign(**{f"c{number}": pd.array(column, dtype=kind) for number, (column, kind) in enumerate(zip(columns, kinds))})
    return time.process_time() - begun


def main():
    rows, folder = int(sys.argv[1]), tempfile.mkdtemp()
    client = tsn.Client("http://127.0.0.1:9", model="m", cache=folder, ledger=f"{folder}/ledger.db")
    df = pd.DataFrame({"text": [f"{number:07d} " + "word " * 18 for number in range(rows)]})
    keys, writes = fill(client, df)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours, loops = [], []
    for _ in range(3 if rows <= 100_000 else 2):
        begun = time.process_time()
        out = df.tsn.complete(PROMPT, system=SYSTEM, client=client, progress=False)
        ours.append(time.process_time() - begun)
        assert out["cached"].all()
        del out
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        loops.append(bare(client, df))
    best = {
        "ours": rows / min(ours),
        "bare": rows / min(loops),
        "keys": keys / rows * 1e6,
        "writes": writes / rows * 1e6,
        "grown_mib": grown / 1024,
    }
    print(json.dumps(best))


if __name__ == "__main__":
    main()
