"""The engines that could stand below the seam, each posting the same bodies and reading whole answers; one JSON line.

``python tests/benchmarks/transports.py ours --url ... --rows 5000 --workers 64``.
"""

import argparse
import asyncio
import contextlib
import json
import os
import time
import warnings

from contenders import Bare, body, texts


@contextlib.asynccontextmanager
async def ours(url, workers):
    from tsn_frames.engine.transport.pool import ConnectionPool
    from tsn_frames.secret import Secret

    transport = ConnectionPool(f"{url}/chat/completions", Secret(None), 300.0)
    yield lambda payload: _body(transport.post(payload, "key"))
    await transport.aclose()


@contextlib.asynccontextmanager
async def stock(url, workers):
    from tsn_frames.engine.transport.httpx_backend import HttpxTransport
    from tsn_frames.secret import Secret

    transport = HttpxTransport(f"{url}/chat/completions", Secret(None), 300.0)
    yield lambda payload: _body(transport.post(payload, "key"))
    await transport.aclose()


async def _body(posting):
    return (await posting).body


@contextlib.asynccontextmanager
async def bare(url, workers):
    from urllib.parse import urlsplit

    parts, free = urlsplit(url), []
    head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n".encode()
    loop = asyncio.get_running_loop()

    async def post(payload):
        connection = free.pop() if free else (await loop.create_connection(Bare, parts.hostname, parts.port))[1]
        answer = await connection.post(head, payload)
        free.append(connection)
        return answer

    yield post
    for connection in free:
        connection.transport.close()


@contextlib.asynccontextmanager
async def aiohttp(url, workers):
    import aiohttp as library

    async with library.ClientSession(
        connector=library.TCPConnector(limit=0), auto_decompress=False, cookie_jar=library.DummyCookieJar()
    ) as session:

        async def post(payload):
            async with session.post(
                f"{url}/chat/completions", data=payload, headers={"Content-Type": "application/json"}
            ) as answer:
                return await answer.read()

        yield post


@contextlib.asynccontextmanager
async def httpx(url, workers, transport=None):
    import httpx as library

    limits = library.Limits(max_connections=workers, max_keepalive_connections=workers)
    async with library.AsyncClient(limits=limits, timeout=300.0, transport=transport, trust_env=False) as client:

        async def post(payload):
            answer = await client.post(f"{url}/chat/completions", content=payload, headers={"Content-Type": "application/json"})
            return answer.content

        yield post


@contextlib.asynccontextmanager
async def httpx_aiohttp(url, workers):
    import aiohttp as library
    from httpx_aiohttp import AiohttpTransport

    session = library.ClientSession(connector=library.TCPConnector(limit=0))
    async with httpx(url, workers, AiohttpTransport(client=session)) as post:
        yield post


@contextlib.asynccontextmanager
async def pyreqwest(url, workers):
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().max_connections(workers).build() as client:

        async def post(payload):
            request = (
                client.post(f"{url}/chat/completions").body_bytes(payload).header("Content-Type", "application/json").build()
            )
            return await (await request.send()).bytes()

        yield post


async def run(engine, url, rows, workers):
    todo, answered = iter([body(text) for text in texts(rows)]), 0
    async with engine(url, workers) as post:

        async def worker():
            nonlocal answered
            for payload in todo:
                whole = b'"choices"' in bytes(await post(payload))
                answered += whole

        begun = time.process_time(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(workers)))
        return answered, time.process_time() - begun[0], time.perf_counter() - begun[1]


ENGINES = {"bare": bare, "ours": ours, "stock": stock, "aiohttp": aiohttp, "httpx": httpx,
           "httpx-aiohttp": httpx_aiohttp, "pyreqwest": pyreqwest}  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=list(ENGINES))
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    answered, cpu, wall = asyncio.run(run(ENGINES[options.name], options.url, options.rows, options.workers))
    print(json.dumps({"name": options.name, "cpu": cpu, "wall": wall, "answered": answered}), flush=True)
    os._exit(0)  # pyreqwest 0.15 can abort the interpreter at its end


if __name__ == "__main__":
    main()
