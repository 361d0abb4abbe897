"""A server that says any bytes: a script decides, connection by connection, what is sent and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

from support.waiting import SECONDS


class Peer:
    """The server's end of one connection, for a script."""

    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer

    async def request(self):
        """Read one request; return its head."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        await self.reader.readexactly(length)
        self.server.asked.append(head)
        return head

    async def send(self, data, pause=0.0):
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(pause)

    def reset(self):
        """End with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the client has closed it in this moment
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self):
        """Wait until the client closes."""
        while await self.reader.read(2**16):
            pass
        self.server.left += 1


class RawServer:
    """Runs ``script(peer)`` for every connection, on its own thread; the connection closes when the script ends."""

    def __init__(self, script, *, tls=None):
        self.script, self.tls = script, tls
        self.asked, self.connections, self.left, self.ended = [], 0, 0, 0
        self.loop = asyncio.new_event_loop()

    @property
    def url(self):
        return f"{'https://localhost' if self.tls else 'http://127.0.0.1'}:{self.port}/v1"

    def __enter__(self):
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(SECONDS)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _start(self):
        self.tasks = set()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            await self.script(Peer(self, reader, writer))
        except ConnectionError:  # the client has closed it while a message was sent
            self.left += 1
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError, OSError):
                await writer.wait_closed()
            self.ended += 1
            self.tasks.discard(asyncio.current_task())

    async def _end(self):
        self.server.close()
        await asyncio.sleep(0.02)  # what was accepted in this moment has its task
        while some := list(self.tasks):
            for task in some:
                task.cancel()
            await asyncio.wait(some)
        await asyncio.sleep(0)


def http(body=b"{}", *lines, status=b"200 OK"):
    """A plain answer."""
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]) + b"\r\n\r\n" + body
