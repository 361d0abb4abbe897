"""The key of a request is a contract: an answer that was paid for is found again by it, in any later version."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ids import stable_repr

import tsn_frames as tsn
from tsn_frames.frames import per_row, prompt
from tsn_frames.verbs.run.plan import plan

URL = "https://api.example.com/v1"


def keys(prompt_="{t}", *, rows=("Hello",), base_url=URL, system=None, messages=None, client=None, **parameters):
    """The keys of a frame's requests, in order of their first rows; nothing is sent."""
    df = pd.DataFrame({"t": list(rows)})
    client = client or tsn.Client(base_url, api_key="tsn_test_1")
    rendered = prompt.render(df, None if messages is not None else prompt_, messages, system, "empty")
    made = plan(client, rendered, *per_row.resolve(df, {"model": "m", "repeat": 0, **parameters}))
    return [request.key.hex() for request in made.requests]


def key(**words):
    (found,) = keys(**words)
    return found


# Literal keys. If one of these fails, every existing cache is lost: the scheme's tag must change with it.
LITERAL = [
    ({}, "90a7b8a4199132cea7352cff090d23cacf3da52d01411df50e048abd44c93d08"),
    ({"system": "Be kind"}, "9de85f02cff858399815b35a1eb51df364a926dc51e0463255b5c6e5cef5df9c"),
    ({"temperature": 0, "max_tokens": 100, "stop": ["\n", "END"]}, "e8159205a5b20a258821414b3fec052f75fcf348a6a010fd4f9a758811179e9f"),
    ({"extra_body": {"seed": 7, "response_format": {"type": "json_object", "a": [1, 2.5, None, True]}}}, "c9234a63035bf8d318a49da386923851ae9e9d1c8ffb9405b4b31a98371abd1e"),
    ({"repeat": 3}, "7ab86baf0feef102c03d2501a00fc799d09d13cb374dd2cfcd54692408930680"),
    ({"rows": ('Grüße, 世界 \U0001f600\n"quoted" \\ {t} \x7f',)}, "0275da8100950ca0770b583833d8d02d907c716bd3e71cb83ebc1906425de462"),
    ({"base_url": "http://127.0.0.1:8000", "top_p": 1, "frequency_penalty": -0.5, "presence_penalty": 2}, "db21e2bbbf9f44cdd17565c4d83a33e4d4193fea920977d0a02ba6a1dbd1d74d"),
    ({"messages": "m"}, "b5b007ef7dcd96a3853ca798b28504c94d1b83219601cb9df8e36b9d9cd4e84a"),
]  # fmt: skip
LISTS = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]]


@pytest.mark.parametrize(("words", "expected"), LITERAL)
def test_literal_keys_never_change(words, expected):
    if "messages" in words:
        words = {**words, "messages": pd.Series(LISTS)}
    assert key(**words) == expected


@pytest.mark.parametrize("extra", [{}, {"logprobs": True}, {"user": "u"}, {"seek": 1, "zeal": {"b": 1, "a": 2}}], ids=str)
def test_a_named_field_has_the_key_of_the_same_field_in_extra_body(extra):
    named = {"seed": 7, "response_format": {"type": "json_object", "a": [1, 2.5, None, True]}}
    assert key(**named, extra_body=extra) == key(extra_body={**extra, **named})
    assert key(seed=7, extra_body=extra) == key(extra_body={"seed": 7, **extra})
    assert key(**named) == LITERAL[3][1]


def test_the_key_is_what_the_documents_say():
    body = b'{"model":"m","temperature":0.5,"max_tokens":9,"seed":1,"messages":[{"role":"user","content":"Hello"}]}'
    assert (
        key(temperature=0.5, max_tokens=9, extra_body={"seed": 1})
        == hashlib.sha256(b"tsn-frames:1\n" + URL.encode() + b"\n0\n" + body).hexdigest()
    )


# What gives the same key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 1}, {"temperature": 1.0}), ({"temperature": 0.0}, {"temperature": -0.0}), ({"temperature": 0.1}, {"temperature": np.float32(0.1)}),
        ({"temperature": 0.1}, {"temperature": np.float16(0.1)}), ({"temperature": 0.5}, {"temperature": np.array(0.5)}),
        ({"temperature": 0.1}, {"temperature": pd.Series([0.1], dtype="float32")}), ({"temperature": 0.1}, {"temperature": pd.Series([0.1], dtype="Float64")}),
        ({"temperature": 1}, {"temperature": pd.Series([1], dtype=object)}), ({"temperature": 1}, {"temperature": lambda d: 1}),
        ({"max_tokens": 5}, {"max_tokens": np.int64(5)}), ({"max_tokens": 5}, {"max_tokens": pd.Series([5], dtype="Int64")}),
        ({"max_tokens": 5}, {"max_tokens": pd.Series([5], dtype="uint8")}),
        ({"stop": ["a"]}, {"stop": ("a",)}), ({"stop": "a"}, {"stop": np.str_("a")}), ({"stop": ["a"]}, {"stop": pd.Series([["a"]])}),
        pytest.param({"model": "m"}, {"model": " m "}, marks=pytest.mark.filterwarnings("ignore:model ' m ' has blanks")), ({"model": "m"}, {"model": pd.Series(["m"], dtype="category")}),
        ({"repeat": 0}, {}), ({"repeat": 2}, {"repeat": pd.Series([2])}),
        ({"extra_body": {"a": 1, "b": {"x": 1, "y": 2}}}, {"extra_body": {"b": {"y": 2, "x": 1}, "a": np.int64(1)}}),
        ({"extra_body": {"a": [1]}}, {"extra_body": {"a": np.array([1])}}), ({"extra_body": {}}, {}), ({"temperature": None}, {}),
        ({"base_url": "https://api.example.com"}, {"base_url": "HTTPS://API.example.com:443/v1/chat/completions/"}),
        ({"system": "Be {{kind}}"}, {"system": "Be {kind_of}".replace("{kind_of}", "{{kind}}")}),
        ({"prompt_": "{t}"}, {"messages": pd.Series([[{"content": "Hello", "role": "user"}]])}),
        ({"prompt_": "{t}"}, {"prompt_": lambda row: row["t"]}), ({"prompt_": "{t}", "system": "S"}, {"prompt_": lambda row: row["t"], "system": "S"}),
        ({"prompt_": "{t}", "system": "Hello"}, {"prompt_": "{t}", "system": "{t}"}),
    ],
    ids=stable_repr,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:model .* has blanks around it")
def test_what_means_the_same_request_has_the_same_key(one, other):
    assert key(**one) == key(**other)


def test_the_order_of_words_does_not_matter():
    assert key(temperature=1, max_tokens=5, top_p=0.5) == key(top_p=0.5, max_tokens=5, temperature=1)


def test_what_is_not_the_request_is_not_in_its_key(tmp_path):
    plain = key()
    for words in (
        {"api_key": "tsn_test_2"}, {"timeout": 5}, {"limits": tsn.Limits(concurrency=2)}, {"retry": tsn.Retry(attempts=1)},
        {"prices": {"m": (1, 1)}}, {"cache": tmp_path}, {"ledger": tmp_path / "l"}, {"model": "another"},
    ):  # fmt: skip
        assert key(client=tsn.Client(URL, **words)) == plain, words


def test_the_model_of_the_client_is_a_model():
    df = pd.DataFrame({"t": ["Hello"]})
    rendered = prompt.render(df, "{t}", None, None, "skip")
    made = plan(tsn.Client(URL, model="m"), rendered, *per_row.resolve(df, {"repeat": 0}))
    assert made.requests[0].key.hex() == key()


# What gives another key


OTHERS = [
    {}, {"base_url": "https://api.example.com/v2"}, {"base_url": "https://api.example.com:8443"}, {"base_url": "http://localhost"}, {"repeat": 1}, {"repeat": 2},
    {"model": "n"}, {"temperature": 0}, {"temperature": 1}, {"top_p": 1}, {"top_p": 0.5}, {"max_tokens": 1}, {"max_tokens": 2}, {"stop": "a"}, {"stop": ["a"]},
    {"stop": ["a", "b"]}, {"stop": ["b", "a"]}, {"frequency_penalty": 1}, {"presence_penalty": 1}, {"extra_body": {"seed": 1}}, {"extra_body": {"seed": 2}},
    {"extra_body": {"seed": "1"}}, {"extra_body": {"seed": None}}, {"extra_body": {"a": [1, 2]}}, {"extra_body": {"a": [2, 1]}}, {"system": "S"}, {"system": ""},
    {"rows": ("hello",)}, {"rows": ("Hello ",)}, {"rows": ("",)}, {"messages": pd.Series([[{"role": "assistant", "content": "Hello"}]])},
    {"messages": pd.Series([[{"role": "user", "content": "Hello", "name": "x"}]])},
    {"messages": pd.Series([[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]])},
    {"messages": pd.Series([[{"role": "user", "content": "Hello"}, {"role": "user", "content": "Hello"}]])},
]  # fmt: skip


def test_every_part_of_a_request_is_in_its_key():
    found = [key(**words) for words in OTHERS]
    assert len(set(found)) == len(OTHERS)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2) | st.integers(0, 2), "top_p": st.floats(0, 1), "max_tokens": st.integers(1, 3),
        "frequency_penalty": st.floats(-2, 2), "stop": st.lists(TEXT.filter(bool), min_size=1, max_size=3), "repeat": st.integers(0, 2),
        "extra_body": st.dictionaries(TEXT.map(lambda name: f"x_{name}"), JSON, max_size=3),
    },
)  # fmt: skip


def same(value):
    """A request as it is meant: numbers of the API's float fields as floats, objects without order."""
    if isinstance(value, dict):
        return ("dict", tuple(sorted((name, same(item)) for name, item in value.items())))
    if isinstance(value, list):
        return ("list", tuple(map(same, value)))
    return (type(value).__name__, repr(value))


def meant(words):
    floats = {name: float(words[name]) + 0.0 for name in ("temperature", "top_p", "frequency_penalty") if name in words}
    return same({"repeat": 0, "extra_body": {}, **words, **floats})


@settings(deadline=None, max_examples=200)
@given(st.lists(PARAMETERS, min_size=2, max_size=2))
def test_law_keys_are_equal_exactly_where_requests_are(pair):
    one, other = pair
    assert (key(**one) == key(**other)) == (meant(one) == meant(other))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "a ", "{t}", "ä"]), min_size=1, max_size=8))
def test_law_rows_share_a_request_exactly_where_their_texts_are_equal(rows):
    assert len(keys(rows=rows)) == len(set(rows))
    assert keys(rows=rows) == [key(rows=[text]) for text in dict.fromkeys(rows)]


@settings(deadline=None)
@given(PARAMETERS)
def test_law_a_value_a_row_has_the_key_of_one_value_for_all(words):
    per_row_words = {name: pd.Series([value], dtype=object) for name, value in words.items()}
    assert key(**per_row_words) == key(**words)


# The wire


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        answer = b'{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def recorder():
    """A server that keeps the bytes it is sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.daemon_threads, server.block_on_close, server.bodies = True, False, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_bytes_on_the_wire_are_the_bytes_that_were_hashed(recorder, tmp_path):
    base_url = f"http://127.0.0.1:{recorder.server_port}/v1"
    client = tsn.Client(base_url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db")
    df = pd.DataFrame({"t": ["Grüße", 'a "b" \\ \n', "\U0001f600"], "n": [0, 1, 2]})
    out = df.tsn.complete(
        "{t}", system="As {n}", temperature=lambda d: d["n"] / 2, repeat=df["n"], stop=("x",), extra_body={"b": 1, "a": {"d": 1, "c": 2}},
        include="request_key", client=client, progress=False,
    )  # fmt: skip
    found = {
        hashlib.sha256(b"\n".join((b"tsn-frames:1", base_url.encode(), str(n).encode(), body))).hexdigest()
        for n in range(3)
        for body in recorder.bodies
    }
    assert set(out["request_key"]) <= found
    assert [list(orjson.loads(body)) for body in recorder.bodies] == [["model", "temperature", "stop", "a", "b", "messages"]] * 3


def test_what_is_not_given_is_not_on_the_wire(recorder, tmp_path):
    client = tsn.Client(f"http://127.0.0.1:{recorder.server_port}", model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db")
    pd.DataFrame({"t": ["Hi"]}).tsn.complete("{t}", repeat=3, client=client, progress=False)
    assert recorder.bodies == [b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}']
