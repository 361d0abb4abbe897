"""Reading a stream costs time in proportion to its size."""

from __future__ import annotations

import json
import time

from tsn_frames.api.streaming.stream_parser import StreamedReply


def chunk(delta=None, finish=None, index=0, **others):
    return {"id": "1", "model": "m", "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **others}


def line(payload, end=b"\n\n"):
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + end


def test_the_cost_is_linear_in_the_length_of_the_input():
    def seconds(size):
        begun, reply = time.process_time(), StreamedReply()
        for _ in range(size):
            reply.feed(b"x")
        for _ in range(size // 50):
            reply.feed(line(chunk({"content": "x"})))
        return time.process_time() - begun

    assert seconds(100_000) < 25 * seconds(10_000) + 0.2
