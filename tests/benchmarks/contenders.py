"""The same rows through this library and through what it is measured against; each runs in its own process.

Prints one JSON line: CPU seconds of the process from before the first request to after the last row, wall seconds, rows
answered, and peak memory. ``python tests/benchmarks/contenders.py ours --url ... --rows 5000 --workers 64``.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
import warnings
from urllib.parse import urlsplit

PROMPT = "Which topic is this message about? {text}"


def texts(rows):
    return [f"message {number:07d}: " + "my parcel has not arrived and nobody answers " * 2 for number in range(rows)]


def body(text, model="sim-small"):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT.format(text=text)}]}).encode()


class Bare(asyncio.Protocol):
    """The least that can answer: one keep-alive connection, Content-Length only."""

    def __init__(self):
        self.ready = asyncio.Event()
        self.buffer, self.waiter = b"", None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(rest) >= length:
                self.buffer = rest[length:]
                self.waiter.set_result(rest[:length])

    async def post(self, head, payload):
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(head % len(payload) + payload)
        return await self.waiter


async def bare(url, rows, workers):
    parts = urlsplit(url)
    head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n".encode()
    loop, todo, answers = asyncio.get_running_loop(), iter(enumerate(texts(rows))), [None] * rows

    async def worker():
        _, connection = await loop.create_connection(Bare, parts.hostname, parts.port)
        for number, text in todo:
            data = json.loads(await connection.post(head, body(text)))
            answers[number] = data["choices"][0]["message"]["content"]
        connection.transport.close()

    await asyncio.gather(*(worker() for _ in range(workers)))
    return sum(answer is not None for answer in answers)


async def gather(url, rows, workers, aiohttp):
    from openai import AsyncOpenAI, DefaultAioHttpClient

    options = {"http_client": DefaultAioHttpClient()} if aiohttp else {}
    limit = asyncio.Semaphore(workers)
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=2, **options) as client:

        async def one(text):
            async with limit:
                answer = await client.chat.completions.create(
                    model="sim-small", messages=[{"role": "user", "content": PROMPT.format(text=text)}]
                )
                return answer.choices[0].message.content

        answers = await asyncio.gather(*(one(text) for text in texts(rows)))
    return sum(answer is not None for answer in answers)


def ours(url, rows, workers):
    import pandas as pd

    import tsn_frames as tsn

    folder = tempfile.mkdtemp()
    client = tsn.Client(url, model="sim-small", cache=folder, ledger=f"{folder}/ledger.db", limits=tsn.Limits(workers))
    df = pd.DataFrame({"text": texts(rows)})
    first = tsn.Client(url, model="sim-small", cache=f"{folder}/first", ledger=f"{folder}/first.db")
    df.head(20).tsn.complete(PROMPT, client=first, progress=True)  # imports aren't measured here, nor are the others'
    begun = time.process_time(), time.perf_counter()
    out = df.tsn.complete(PROMPT, client=client, progress=True)
    return begun, int(out["content"].notna().sum())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["ours", "bare", "openai", "openai-aiohttp"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    begun = time.process_time(), time.perf_counter()
    if options.name == "ours":
        begun, answered = ours(options.url, options.rows, options.workers)
    elif options.name == "bare":
        answered = asyncio.run(bare(options.url, options.rows, options.workers))
    else:
        import openai  # noqa: F401 - its import isn't measured

        begun = time.process_time(), time.perf_counter()
        answered = asyncio.run(gather(options.url, options.rows, options.workers, options.name == "openai-aiohttp"))
    cpu, wall = time.process_time() - begun[0], time.perf_counter() - begun[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"name": options.name, "cpu": cpu, "wall": wall, "answered": answered, "peak_mib": peak}))


if __name__ == "__main__":
    main()
