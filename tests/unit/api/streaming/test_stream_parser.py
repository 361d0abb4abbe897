"""Parsing of streamed answers: the same wherever the network cuts, in every server's dialect."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tsn_frames.api import ErrorAnswer, Unreadable, decode, error_of
from tsn_frames.api.streaming.sse import SseLines
from tsn_frames.api.streaming.stream_parser import AFTER_FINISH, CAP, LINE_CAP, MORE, NOTHING, TAIL, StreamedReply
from tsn_frames.engine.retry import classify
from tsn_frames.engine.transport.http_types import HttpResponse
from tsn_frames.secret import Secret

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(delta=None, finish=None, index=0, **others):
    return {"id": "1", "model": "m", "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **others}


def line(payload, end=b"\n\n"):
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + end


def read(*pieces):
    reply = StreamedReply()
    for piece in pieces:
        reply.feed(piece)
    reply.close()
    return reply


def said(text, *, done=True):
    return line(chunk({"content": text})) + line(chunk(finish="stop")) + (b"data: [DONE]\n\n" if done else b"")


def state(reply):
    return reply.text, reply.reasoning, reply.finish_reason, reply.done, reply.whole, reply.problem, reply.error, reply.body


ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
NOISE = st.sampled_from([b"", b": ping", b":", b"id: 7", b"retry: 100", b"event: message", b"x", b"data", b"data: ok"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def streams(draw):
    """A stream in some dialect, and what it says."""
    end, texts = draw(ENDS), draw(st.lists(TEXT, max_size=6))
    before = b"data: " if draw(st.booleans()) else b"data:"
    gap = end if draw(st.booleans()) else b""
    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": text}) for text in texts), chunk(finish="stop")]
    events += [{"choices": [], "usage": USAGE}]
    data = b"\xef\xbb\xbf" if draw(st.booleans()) else b""
    for event in events:
        noise = draw(NOISE)
        data += noise + (end + gap if noise else b"")
        data += before + json.dumps(event, ensure_ascii=draw(st.booleans())).encode() + end + gap
    return data + draw(st.sampled_from([b"data: [DONE]" + end + end, b"data:[DONE]", b""])), "".join(texts)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.lists(st.integers(1, 40), min_size=1))
@example((said("é😀"), "é😀"), [1])
def test_a_stream_says_the_same_however_it_is_cut(stream, cuts):
    data, text = stream
    pieces, at = [], 0
    while at < len(data):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(data[at : at + size])
        at += size
    cut, at_once = read(*pieces), read(data)
    assert state(cut) == state(at_once)
    assert (cut.text, cut.whole, cut.finish_reason, cut.problem) == (text, True, "stop", "")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\x0b", "\u2028".encode()]), max_size=20).map(b"".join),
    st.integers(1, 5),
)
def test_lines_end_as_the_standard_says(data, size):
    lines = SseLines()
    found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
    assert [*found, lines.rest] == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from(
            [b"data: ", b'data: {"choices":[', b"data: [DONE]", b"event: error", b"\n", b"{", b"}", b"null", b'{"error":1}']
        )
    )
)
def test_no_bytes_whatever_raise(pieces):
    reply = read(*pieces)
    assert isinstance(reply.body, bytes) and isinstance(reply.text, str)
    assert not reply.whole or not (reply.problem or reply.error)


OPTIONAL_TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
CALLS = st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.text('{}":1a', max_size=12)), max_size=2)
COUNTS = st.none() | st.just(USAGE) | st.just({"prompt_tokens": 9.0, "total_tokens": "12", "cached_tokens": 3})


@st.composite
def answers(draw):
    """An answer in one piece, and its stream in a dialect."""
    content, thought, refusal = draw(OPTIONAL_TEXT), draw(OPTIONAL_TEXT), draw(OPTIONAL_TEXT)
    calls, usage = draw(CALLS), draw(COUNTS)
    reason = draw(st.sampled_from(["stop", "length", "MAX_TOKENS", "tool_calls", "sensitive", "error", "network_error"]))
    error = draw(st.none() | st.sampled_from([{"code": 502, "message": "died"}, {"code": "insufficient_quota"}]))
    name = draw(st.sampled_from(["reasoning_content", "reasoning"]))
    message = {"role": "assistant", "content": content}
    message |= {name: thought} if thought else {}
    message |= {"refusal": refusal} if refusal else {}
    whole_calls = [{"id": f, "type": "function", "function": {"name": f, "arguments": given}} for f, given in calls]
    message |= {"tool_calls": whole_calls} if calls else {}
    plain = {"id": "1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    plain |= ({"usage": usage} if usage else {}) | ({"error": error} if error else {})

    deltas = [{"role": "assistant", "content": None}]
    for field, text in ((name, thought), ("content", content), ("refusal", refusal)):
        at = draw(st.integers(0, len(text or "")))
        deltas += [{field: part} for part in ((text or "")[:at], (text or "")[at:])] if text is not None else []
    for index, call in enumerate(whole_calls):
        given = call["function"]["arguments"]
        deltas += [{"tool_calls": [{"index": index, **call, "function": {**call["function"], "arguments": given[:2]}}]}]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": given[2:]}}]}]
    events = [chunk(delta) for delta in deltas]
    last = chunk(finish=reason)
    if draw(st.booleans()):
        last["choices"][0]["message"] = message  # the whole message once more
    events.append(last)
    if usage:
        where = draw(st.sampled_from(["own", "last", "groq", "choice"]))
        if where == "own":
            events.append({"choices": [], "usage": usage})
        elif where == "last":
            last["usage"] = usage
        elif where == "groq":
            last["x_groq"] = {"usage": usage}
        else:
            last["choices"][0]["usage"] = usage
    events += [{"error": error}] if error else []
    return plain, b"".join(map(line, events)) + draw(st.sampled_from([b"", b"data: [DONE]\n\n"]))


def record(body):
    """What an answer or an error is read as."""
    try:
        return decode(body)
    except ErrorAnswer as problem:
        return problem.error.status_under_200(), problem.usage, problem.billed
    except Unreadable:
        return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(answers())
def test_an_answer_is_the_same_streamed_and_in_one_piece(answer):
    plain, stream = answer
    reply = read(stream)
    assert record(reply.body) == record(json.dumps(plain).encode()) == record(stream)
    assert reply.whole is (reply.error is None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.lists(st.sampled_from(
    [b"data: ", b'{"choices":', b"[", b"]", b"{", b"}", b'"error":', b'"message":', b"null", b"0", b'"x"', b",", b":", b"\n", b"error: "]
)).map(b"".join))  # fmt: skip
def test_any_bytes_under_any_status_are_an_answer_or_an_error(body):
    for status in (200, 400, 429, 500, 503):
        found = classify(HttpResponse(status, {}, body), Secret("tsn_test_0123456789"))
        assert found.completion is not None or found.error is not None


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["The cat", "The cat sat on", "The cat sat on the mat."], "The cat sat on the mat."),
        (["The cat", "The cat sat on", "The cat sat on the mat.", "The cat sat on the mat."], "The cat sat on the mat."),
        (["The cat", "The cat sat on", "The cat sat on the", " mat."], "The cat sat on the mat."),
        (["ha", "haha", "hahaha!"], "hahahahahaha!"),
        (["-", "--", "----", "--------"], "---------------"),
        (["1", "12", "123"], "112123"),
        (["I like it. ", "I like it. ", "I like it. "], "I like it. I like it. I like it. "),
        (["The cat", "The cat sat"], "The catThe cat sat"),
    ],
)
def test_deltas_that_hold_the_text_so_far_are_distinguished_from_real_ones_where_that_is_certain(deltas, text):
    assert read(*(line(chunk({"content": delta})) for delta in deltas), line(chunk(finish="stop"))).text == text


@pytest.mark.parametrize(
    ("last", "text"),
    [
        ("The cat sat on the mat.", "The cat sat on the mat."),
        ("The cat sat on the mat. It purrs.", "The cat sat on the mat. It purrs."),
        (" It purrs.", "The cat sat on the mat. It purrs."),
    ],
)
def test_a_last_delta_that_is_the_whole_text_doubles_nothing(last, text):
    parts = [line(chunk({"content": part})) for part in ("The cat", " sat on the mat.")]
    assert read(*parts, line(chunk({"content": last}, "stop"))).text == text
    assert read(line(chunk({"content": "ha "})), line(chunk({"content": "ha "}, "stop"))).text == "ha ha "


def test_a_delta_of_the_role_error_is_an_error():
    reply = read(line(chunk({"role": "error", "content": "died"}, "stop")), b"data: [DONE]\n\n")
    assert not reply.whole and error_of(reply.error).message == "died"


@pytest.mark.parametrize("ends", [b"", b"data: [DONE]\n\n"])
def test_a_reason_that_stands_in_every_chunk_is_not_an_end(ends):
    pieces = [line(chunk({"content": text}, "stop")) for text in ("Hel", "lo")]
    assert read(*pieces, ends).whole is bool(ends)
    empty = [line(chunk({"content": text}, "")) for text in ("Hel", "lo")]
    assert read(*empty, ends).whole is bool(ends)


@pytest.mark.parametrize("bare", [b'error: {"code":500,"message":"died"}', b'{"error":"died"}', b"error: died"])
def test_an_error_outside_of_an_event_ends_the_answer(bare):
    reply = read(line(chunk({"content": "Hel"})), bare + b"\n\n", b"data: [DONE]\n\n")
    assert not reply.whole and b"died" in reply.error and reply.text == "Hel"
    assert b"died" in read(b"one moment\n", line(chunk({"content": "Hel"})), bare).error, "other words are not its message"


def test_the_last_model_that_is_named_counts():
    pieces = [line(chunk({"content": "a"}) | {"model": name}) for name in ("", "router", "real", "")]
    assert decode(read(*pieces, said("")).body).model == "m"
    assert decode(read(*pieces, b"data: [DONE]\n\n").body).model == "real"


def test_received_text_is_available_at_once():
    reply = StreamedReply()
    assert reply.feed(b": ping\n\n") == MORE and not reply.begun
    assert reply.feed(line(chunk({"role": "assistant", "content": ""}))) == MORE and not reply.begun
    assert reply.feed(line(chunk({"content": "Hi"}), b"\n")) == MORE  # without waiting for the blank line
    assert (reply.begun, reply.text, reply.whole) == (True, "Hi", False)
    assert reply.feed(line(chunk(finish="length"))) == AFTER_FINISH  # some servers end no stream
    assert (reply.whole, reply.finish_reason, reply.done) == (True, "length", False)
    assert reply.feed(b"data: [DONE]\n\n") == TAIL and reply.done
    reply.feed(line(chunk({"content": "late"})))
    assert reply.text == "Hi"


@pytest.mark.parametrize(
    ("end", "whole"),
    [
        (b"data: [DONE]\n\n", True),
        (b"data: [DONE]", True),
        (line({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n", True),
        (line({"choices": [], "usage": USAGE}), False),
        (b"", False),
    ],
)
def test_an_answer_without_a_finish_reason_is_whole_with_the_end_mark_and_cut_without(end, whole):
    assert read(line(chunk({"content": "Hi"})), end).whole is whole


@pytest.mark.parametrize(
    "progress",
    [
        {"status": "queued", "message": "waiting for a worker"}, {"status": "processing", "message": "12 %"},
        {"type": "ping", "message": "alive"}, {"code": 200, "msg": "ok"}, {"code": "0", "message": "success"},
        {"status": 102, "message": "loading the model"}, {"choices": [], "status": "in_progress", "message": "warming up"},
    ],
)  # fmt: skip
def test_an_event_about_progress_is_not_an_error(progress):
    reply = read(line(progress), said("Hi"))
    assert reply.whole and reply.text == "Hi"


@pytest.mark.parametrize(
    "lines",
    [
        b"upstream error: connection refused\n", b"data: upstream error: connection refused\n\n", b": ping\n\nupstream error: connection refused",
        b": ping\n\n<html><h1>upstream error:</h1>\n<p>connection refused</p></html>\n", b"data: ping\n\ndata: upstream error: connection refused",
    ],
)  # fmt: skip
def test_lines_in_place_of_an_answer_are_its_error(lines):
    reply = read(lines)
    assert not reply.whole and error_of(reply.error).message == "upstream error: connection refused"
    assert read(lines, b"\n" + said("Hi")).whole, "beside an answer they mean nothing"
    assert error_of(read(line(chunk({"content": "Hi"})), lines).error).message.startswith("upstream error")


@pytest.mark.parametrize(
    "nothing", [b": ping\n\n", b"data: ok\n\n", b"data: ping\n\n", b"id: 7\n\nretry: 5\n\n", b"event: ping\ndata:\n\n"]
)
def test_keep_alive_events_are_not_errors(nothing):
    assert read(nothing).error is None


def test_an_answer_that_ends_early_is_not_whole():
    assert not read(line(chunk({"content": "Hi"}))).whole
    assert not read(b"").whole and not read(b"\n\n: ping\n").whole
    assert read(line(chunk({"content": "Hi"})) + b"data: [DONE]").whole


def test_usage_comes_early_late_again_or_not_at_all():
    late = read(said("Hi", done=False), line({"choices": [], "usage": USAGE}))
    assert decode(late.body).usage[:3] == (3, 2, 5) and late.whole
    growing = read(
        line(chunk({"content": "Hi"}, usage={**USAGE, "total_tokens": 4})),
        line(chunk(finish="stop", usage=USAGE)),
        line(chunk(usage=None)),
    )
    assert decode(growing.body).total_tokens == 5
    assert read(said("Hi")).whole and decode(read(said("Hi")).body).total_tokens is None


def test_the_body_is_that_of_a_plain_answer():
    reply = read(
        line(chunk({"role": "assistant", "content": None}, system_fingerprint="f", object="chat.completion.chunk")), line(chunk({"reasoning_content": "Hm"})),
        line(chunk({"content": "Hi"})), line(chunk(finish="stop")), line({"choices": [], "usage": USAGE}),
    )  # fmt: skip
    assert json.loads(reply.body) == {
        "id": "1", "model": "m", "system_fingerprint": "f", "object": "chat.completion", "usage": USAGE,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}, "finish_reason": "stop"}],
    }  # fmt: skip


def test_logprobs_are_put_together():
    def with_logprobs(text):
        made = chunk({"content": text})
        made["choices"][0]["logprobs"] = {"content": [{"token": text}]}
        return line(made)

    assert decode(read(with_logprobs("a"), with_logprobs("b"), said("")).body).logprobs == {
        "content": [{"token": "a"}, {"token": "b"}]
    }


@pytest.mark.parametrize("mark", [b"data: [DONE]", b"data:[done]", b'data: "[DONE]"', b"[DONE]", b"event: done\ndata: {}\n"])
def test_each_end_mark_ends_an_answer(mark):
    reply = read(line(chunk({"content": "Hi"})), mark + b"\n", line(chunk({"content": " late"})))
    assert (reply.text, reply.whole) == ("Hi", True)


@pytest.mark.parametrize("index", [1, "0", "1", 0.0, None])
def test_an_answer_is_read_whatever_its_index(index):
    parts = [line({"choices": [{"index": index, "delta": {"content": text}}]}) for text in ("Hel", "lo")]
    assert read(*parts, line({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]})).text == "Hello"


def test_of_several_answers_the_first_is_read():
    both = {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]}
    assert read(line(both), line(chunk({"content": "no"}, index=1)), said("!")).text == "yes!"


def test_content_in_parts_and_whole_messages_are_read():
    assert read(line(chunk({"content": [{"type": "text", "text": "Hi"}, {"type": "x"}]})), said("")).text == "Hi"
    assert read(line({"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]})).text == "Hi"


def test_tool_calls_are_put_together_and_stored():
    def call(**function):
        return line(chunk({"tool_calls": [{"index": 0, "function": function}]}))

    first = line(chunk({"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "label"}}]}))
    reply = read(first, call(arguments='{"a"'), call(arguments=": 1}"), line(chunk(finish="tool_calls", usage=USAGE)))
    assert reply.begun and reply.whole
    assert decode(reply.body).tool_calls == [
        {"id": "1", "type": "function", "function": {"name": "label", "arguments": '{"a": 1}'}}
    ]


def test_an_event_may_have_several_lines():
    text = json.dumps(chunk({"content": "Hi"}), indent=1)
    assert read("".join(f"data: {part}\n" for part in text.splitlines()).encode() + b"\n", said("!")).text == "Hi!"


ERROR = {"error": {"message": "too busy", "code": "overloaded"}}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (line(ERROR), "too busy"),
        (b"event: error\n" + line({"message": "too busy"}), "too busy"),
        (b"event: error\ndata: too busy\n\n", "too busy"),
        (line({"error": "too busy"}), "too busy"),
        (line({"object": "error", "message": "too busy"}), "too busy"),
    ],
)
def test_an_error_ends_the_answer_and_the_received_text_is_kept(event, message):
    reply = StreamedReply()
    reply.feed(line(chunk({"content": "Hi"})))
    assert reply.feed(event + said("more")) == NOTHING
    reply.close()
    assert (reply.text, reply.whole) == ("Hi", False) and message in reply.error.decode()


def test_a_lost_part_is_reported():
    reply = read(line(chunk({"content": "Hi"})) + b'data: {"choices":[{"del\n\n' + said("!"))
    assert (reply.text, reply.whole) == ("Hi", False) and "can't be read" in reply.problem


@pytest.mark.parametrize("body", [b'{"choices":[{"message":{"content":"Hi"}}]}', b"<html>Sign in</html>", b"[1]"])
def test_a_body_in_one_piece_is_kept_as_it_is(body):
    reply = StreamedReply()
    for at in range(0, len(body), 3):
        assert reply.feed(b"\xef\xbb\xbf\r\n"[: 4 if not at else 0] + body[at : at + 3]) == MORE
    assert not reply.whole, "who knows whether that was all of it"
    reply.close()
    assert reply.whole and reply.body == body


def test_odd_characters_and_numbers_cost_no_answer():
    data = b'data: {"choices":[{"delta":{"content":"\\ud83d a"}}],"big":1' + b"0" * 30 + b',"x":NaN}\n\n' + said("!")
    reply = read(data)
    assert reply.text == "\ufffd a!" and decode(reply.body).content == reply.text


def test_a_huge_line_and_a_huge_answer_are_refused():
    reply = StreamedReply()
    piece = b"data: " + b"x" * (LINE_CAP // 2)
    assert [reply.feed(piece) for _ in range(4)][-1] == NOTHING and "larger than" in reply.problem
    reply = StreamedReply()
    piece = line(chunk({"content": "x" * 2**20}))
    while reply.size <= CAP:
        patience = reply.feed(piece)
    assert patience == NOTHING and not reply.whole and "20 MiB" in reply.problem
    body = StreamedReply()
    for _ in range(21):
        patience = body.feed(b"{" + b" " * 2**20)
    assert patience == NOTHING and "20 MiB" in body.problem
    many = StreamedReply()
    many.feed(b"data: {\n")
    for _ in range(LINE_CAP // 1000 + 10):
        many.feed(b"data: " + b"y" * 1000 + b"\n")
    assert "event of the answer is larger" in many.problem


def test_an_answer_of_very_many_tokens_is_read_whatever_stands_around_each():
    """100,000 tokens come as 25 MB of events, and are 400 kB of text."""
    reply = StreamedReply()
    piece = line(chunk({"content": "word " * 100}, id="x" * 2**17))
    while reply.size <= CAP + 2**20:
        assert reply.feed(piece) == MORE
    assert reply.text.startswith("word word ") and len(reply.text) > 50_000
