"""Extra headers and query parameters of a client: sent with each request, shown nowhere, and in the cache key by a stated rule."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import sys
import traceback
import warnings

import pandas as pd
import pytest
from support.raw_server import RawServer
from support.waiting import SECONDS

import tsn_frames as tsn
from tsn_frames.engine.chat.conversation import Conversation
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.secret import Secret, redact

# Tests take these from here and never hold them in a variable of their own, since their frames are part of tracebacks.
HEADERS = {"api-key": "canary-header-4f1d", "X-Title": "canary-title-77"}
QUERY = {"api-version": "canary-version-9e", "code": "canary code/&é"[:-1]}
CANARIES = ("canary-header", "canary-title", "canary-version", "canary code", "canary+code")
ANSWER = {
    "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
PART = {"model": "m", "choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}], "usage": ANSWER["usage"]}
ECHO = json.dumps({"error": {"message": " and ".join(["bad", *HEADERS.values(), *QUERY.values(), "canary+code%2F%26"])}}).encode()
LINE = "POST /v1/chat/completions?api-version=canary-version-9e&code=canary+code%2F%26 HTTP/1.1"


@pytest.fixture(params=["pool", "httpx"])
def backend(request, monkeypatch):
    if request.param == "httpx":
        monkeypatch.setitem(sys.modules, "httptools", None)
        for name in ("pool", "connection"):
            monkeypatch.delitem(sys.modules, f"tsn_frames.engine.transport.{name}", raising=False)
    return request.param


def reply(body, kind=b"application/json", status=b"200 OK"):
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Content-Length: %d" % len(body), b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def serving(body, *what):
    async def script(peer):
        await peer.request()
        await peer.send(reply(body, *what))

    return RawServer(script)


def made(url, folder, **words):
    words = {"headers": HEADERS, "query": QUERY} | words
    return tsn.Client(url, model="m", cache=folder / "c", ledger=folder / "l.db", retry=tsn.Retry(attempts=1), **words)


def ask(client, **words):
    return pd.DataFrame({"t": ["a"]}).tsn.complete("{t}", client=client, progress=False, **words)


def head_of(server):
    line, *headers = server.asked[-1].decode().splitlines()
    return line, dict(header.split(": ", 1) for header in headers if header)


def shown_by(error):
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(shown.format()) + repr(error) + repr(vars(error))


def test_they_go_with_every_completion(backend, tmp_path):
    with serving(json.dumps(ANSWER).encode()) as server:
        assert ask(made(server.url, tmp_path))["content"][0] == "ok"
        line, headers = head_of(server)
    headers = {name.lower(): value for name, value in headers.items()}
    assert line == LINE
    assert headers["api-key"] == HEADERS["api-key"]
    assert headers["x-title"] == HEADERS["X-Title"]
    assert headers["user-agent"].startswith("tsn_frames") or backend == "httpx"
    assert "authorization" not in headers


def test_an_api_key_goes_beside_them(backend, tmp_path):
    with serving(json.dumps(ANSWER).encode()) as server:
        ask(made(server.url, tmp_path, api_key="tsn_test_1", headers={"user-agent": "mine"}, query=None))
        line, headers = head_of(server)
    headers = {name.lower(): value for name, value in headers.items()}
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == "Bearer tsn_test_1"
    assert headers["user-agent"] == "mine"
    assert server.asked[-1].lower().count(b"user-agent") == 1


def test_they_go_with_a_stream_and_with_the_list_of_models(tmp_path):
    with serving(b"data: " + json.dumps(PART).encode() + b"\n\ndata: [DONE]\n\n", b"text/event-stream") as server:
        chat = Conversation(made(server.url, tmp_path))
        assert chat.send("Hello") == "ok"
        line, headers = head_of(server)
    assert line == LINE
    assert headers["api-key"] == HEADERS["api-key"]
    with serving(json.dumps({"data": [{"id": "m"}]}).encode()) as server:
        assert Conversation(made(server.url, tmp_path)).list_models().result(SECONDS) == ["m"]
        line, headers = head_of(server)
    assert line.startswith("GET /v1/models?api-version=canary-version-9e&")
    assert headers["api-key"] == HEADERS["api-key"]


# Where the API key comes from


def test_the_key_of_the_environment_does_not_go_to_a_service_that_has_another_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TSN_API_KEY", "tsn_test_1")
    process_state.key = Secret("tsn_test_2")
    assert not made("https://x.example.com", tmp_path).key()
    assert not made("https://x.example.com", tmp_path, headers=None, query={"key": "abc"}).key()
    assert made("https://x.example.com", tmp_path, headers={"X-Title": "a"}).key()
    assert made("https://x.example.com", tmp_path, headers={"Helicone-Auth": "Bearer abc"}).key()


def test_no_api_key_is_needed_beside_another_credential(tmp_path):
    assert not made("https://x.example.com", tmp_path, headers={"cf-aig-authorization": "Bearer abc"}).key()
    with pytest.raises(tsn.errors.ConfigError, match="no API key"):
        made("https://x.example.com", tmp_path, headers={"X-Title": "a"}, query={"api-version": "1"}).key()


def test_two_authorizations_are_refused(tmp_path):
    with pytest.raises(tsn.errors.ConfigError, match="give one of them"):
        made("https://x.example.com", tmp_path, headers={"authorization": "Basic abc"}, api_key="tsn_test_1")


# What is refused


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"headers": "api-key: canary-1"}, "headers must be a dict of texts"), ({"query": ["canary-1"]}, "query must be a dict of texts"),
        ({"headers": {"X Y": "canary-1"}}, "has the name 'X Y'"), ({"headers": {1: "canary-1"}}, "has the name 1"),
        ({"query": {"": "canary-1"}}, "has the name ''"), ({"headers": {"Host": "canary-1"}}, "'Host', which is set for each request"),
        ({"headers": {"content-length": "1"}}, "set for each request"), ({"headers": {"A": "canary-1\r\nB: c"}}, r"headers\['A'\] is empty, or has"),
        ({"headers": {"A": ""}}, "empty"), ({"headers": {"A": "canary-ü"}}, "can't be sent"), ({"query": {"a": 5}}, r"query\['a'\] must be a string"),
        ({"headers": {"A": "canary-1", "a": "canary-2"}}, "'a' twice"), ({"headers": {"A": b"canary-1"}}, "must be a string, got a bytes"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value),
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_unseen(tmp_path, words, match):
    with pytest.raises(tsn.errors.ConfigError, match=match) as error:
        tsn.Client("https://x.example.com", **words)
    own = "".join(shown_by(error.value).split("tests/http/test_headers_and_query.py")[-1].split("engine/runtime/client.py")[1:])
    assert "canary-" not in own + str(error.value)


# Values are secrets


def test_no_setting_beside_them_shows_them():
    for bad in ({"timeout": -1}, {"limits": 5}, {"model": 5}, {"api_key": 5}):
        with pytest.raises(tsn.errors.ConfigError) as error:
            tsn.Client("https://x.example.com", headers=HEADERS, query=QUERY, **bad)
        assert not any(canary in shown_by(error.value) for canary in CANARIES)


def test_a_client_shows_names_only(tmp_path):
    client = made("https://x.example.com", tmp_path)
    shown = repr(client) + str(vars(client)) + repr(client.key()) + repr(client.headers) + f"{client.query}"
    assert not any(canary in shown for canary in CANARIES)
    assert "{'api-key': '***', 'X-Title': '***'}" in repr(client)


def test_a_pickle_has_no_values_and_says_so_where_they_are_needed(tmp_path):
    client = made("https://x.example.com", tmp_path)
    data = pickle.dumps(client)
    assert not any(canary.encode() in data for canary in CANARIES)
    back = pickle.loads(data)
    assert back.headers.names == client.headers.names
    for use in (back.key, lambda: ask(back)):
        with pytest.raises(tsn.errors.ConfigError, match=r"pickled, which leaves out the values of (headers|query)="):
            use()
    plain = tsn.Client("https://x.example.com", api_key="tsn_test_1")
    assert pickle.loads(pickle.dumps(plain)).keyed_url == plain.keyed_url


def test_a_copy_in_this_process_keeps_them(tmp_path):
    client = made("https://x.example.com", tmp_path)
    again = made("https://x.example.com", tmp_path, headers=client.headers, query=client.query)
    for other in (copy.copy(client), copy.deepcopy(client), made("https://x.example.com", tmp_path), again):
        assert other == client
        assert other.key() == client.key()
        assert hash(other.key()) == hash(client.key())


def test_credentials_distinguish_accounts_and_other_values_do_not(tmp_path):
    """Runs of one account share its limits, and a request of two runs at once is sent once."""
    key = made("https://x.example.com", tmp_path).key()
    assert key == made("https://x.example.com", tmp_path, headers=HEADERS | {"X-Title": "other"}).key()
    assert key != made("https://x.example.com", tmp_path, headers=HEADERS | {"api-key": "other"}).key()
    assert key != made("https://x.example.com", tmp_path, query={"api-version": "2"}).key()


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"500 Server Error"])
def test_a_service_that_echoes_them_shows_them_nowhere(backend, tmp_path, caplog, status):
    caplog.set_level(logging.DEBUG, logger="")
    shown = []
    with serving(ECHO, b"application/json", status) as server:
        client = made(server.url, tmp_path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                shown.append(ask(client).to_csv())
            except tsn.RunError as error:
                shown += [error.partial.to_csv(), shown_by(error)]
        assert server.asked
    shown += [str(warning.message) for warning in caught]
    shown += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert " and ".join(["bad", *["***"] * 5]) in "".join(shown)
    assert not any(canary in "".join(shown) for canary in CANARIES)
    assert not any(canary.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() for canary in CANARIES)


def test_a_short_value_is_masked_as_a_word_only(tmp_path):
    key = made("https://x.example.com", tmp_path, headers={"A": "1"}, query={"api-key": "Bearer abc"}).key()
    assert redact("code 1 of 12: abc, abcd, Bearer abc", key) == "code *** of 12: ***, abcd, ***"


# The cache key


def test_query_parameters_are_in_the_cache_key_and_credentials_and_headers_are_not(tmp_path):
    def key(**words):
        client = tsn.Client("https://x.example.com", model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db", **words)
        with pytest.warns(tsn.errors.TSNWarning):
            return ask(client, cache="only", include=["request_key"])["request_key"][0]

    plain = key()
    assert plain == key(headers=HEADERS) == key(query={"code": "a", "subscription-key": "b", "accessToken": "c"})
    version = key(query={"api-version": "1"})
    assert version != plain
    assert version == key(query={"api-version": "1", "code": "z"}, headers={"A": "b"}) != key(query={"api-version": "2"})
    assert key(query={"a": "1", "b": "2"}) == key(query={"b": "2", "a": "1"})
    assert key(query={"monkey": "1"}) != plain


def test_they_go_through_a_proxy(tmp_path, monkeypatch):
    with serving(json.dumps(ANSWER).encode()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        client = made("http://service.invalid/v1", tmp_path, allow_http=True)
        assert ask(client)["content"][0] == "ok"
        line, headers = head_of(proxy)
    assert line == LINE.replace(" /v1", " http://service.invalid/v1")
    assert {name.lower(): value for name, value in headers.items()}["api-key"] == HEADERS["api-key"]
