"""A service on loopback that sends whatever bytes a test gives it, plain or in pieces."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
DONE = b"data: [DONE]\n\n"
CUT = None  # in a list of pieces: the connection breaks here


def plain(value, status=200, **headers):
    """A response in one piece."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, {"Content-Type": "application/json", **headers}, body


def stream(*pieces, **headers):
    """A response as an event stream; a dict is its own event."""
    data = [piece if piece is CUT or isinstance(piece, bytes) else event(piece) for piece in pieces]
    return 200, {"Content-Type": "text/event-stream", **headers}, data


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def completion(content="fine", reason="stop", usage=USAGE, choice=None, **message):
    """A chat completion; ``choice`` and the keywords are added to its choice and its message."""
    made = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [made | (choice or {})]}
    return body if usage is None else body | {"usage": usage}


def chunk(content=None, reason=None, usage=None, choice=None, **delta):
    """A chunk of a streamed chat completion."""
    delta |= {} if content is None else {"content": content}
    made = {"index": 0, "delta": delta, "finish_reason": reason} | (choice or {})
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [made], "usage": usage}


class DialectService:
    """Answers each request with ``respond(body, number)``: a status, headers, and bytes or a list of pieces.

    Attributes
    ----------
    bodies : list of dict
        The requests so far.
    """

    def __init__(self, respond):
        self.bodies, lock, outer = [], threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self._send(*respond({"path": self.path}, 0))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.bodies.append(body)
                    number = len(outer.bodies)
                self._send(*respond(body, number))

            def _send(self, status, headers, data):
                with contextlib.suppress(OSError):  # the client may have gone
                    self.send_response_only(status)
                    for name, value in headers.items():
                        self.send_header(name.replace("_", "-"), value)
                    if isinstance(data, bytes):
                        self.send_header("Content-Length", str(len(data)))
                        self.end_headers()
                        self.wfile.write(data)
                        return
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for piece in data:
                        if piece is CUT:
                            self.connection.shutdown(socket.SHUT_RDWR)
                            self.close_connection = True
                            return
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # of the usual five a busy machine, which accepts late, lets some wait long

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def requests(self):
        return len(self.bodies)
