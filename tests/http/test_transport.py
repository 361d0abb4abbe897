"""Both backends, against real sockets: TLS, proxies, IPv6, and what is no answer."""

import asyncio
import ssl
import sys

import pandas as pd
import pytest
import trustme
from support.raw_server import RawServer
from support.waiting import SECONDS

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.engine.transport import connection, pool
from tsn_frames.engine.transport.http_types import HttpFailure, HttpResponse
from tsn_frames.engine.transport.httpx_backend import HttpxTransport
from tsn_frames.engine.transport.select_backend import open_transport
from tsn_frames.secret import Secret
from tsn_frames.simulator import Faults, Simulator

BODY = b'{"model":"sim-small","messages":[{"role":"user","content":"Hi"}]}'
BACKENDS = ["pool", "httpx"]


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    if request.param == "httpx":
        monkeypatch.setitem(sys.modules, "httptools", None)
        for module in (pool, connection):
            monkeypatch.delitem(sys.modules, module.__name__)
    return request.param


def post(base_url):
    """Post on the process's loop and return the response."""

    async def work():
        transport = open_transport(base_url, Secret("tsn_test_1"), SECONDS)
        try:
            return await transport.post(BODY, "key")
        finally:
            await transport.aclose()

    return process_state.submit(work()).result(SECONDS)


def raw(answer, tls=None):
    """A server that answers every connection with the same bytes."""

    async def script(peer):
        await peer.request()
        await peer.send(answer)

    return RawServer(script, tls=tls)


def http(body, *headers):
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_the_pool_is_used_where_it_can_be_imported(backend, sim):
    async def name():
        transport = open_transport(sim.base_url, Secret(None), 1.0)
        await transport.aclose()
        return type(transport).__name__

    assert process_state.submit(name()).result(SECONDS) == {"pool": "ConnectionPool", "httpx": "HttpxTransport"}[backend]


def test_the_key_and_the_idempotency_key_are_sent(backend, sim):
    post(sim.base_url)
    exchange = sim.log[0]
    assert exchange.key_sent and exchange.headers["idempotency-key"] == "key"
    assert exchange.headers["accept-encoding"] == "identity"


def test_ipv6_works(backend):
    with Simulator(latency=0.0, host="::1") as sim:
        assert post(sim.base_url).status == 200


def test_a_redirect_is_an_answer_and_not_followed(backend):
    with (
        Simulator(latency=0.0) as other,
        Simulator(latency=0.0, faults=Faults(redirect=1.0, redirect_to=f"{other.base_url}/chat/completions")) as sim,
    ):
        assert post(sim.base_url).status == 307
        assert other.stats().requests == 0


@pytest.mark.parametrize("fault", ["gzip_bomb", "huge"])
def test_a_body_beyond_the_cap_is_not_taken_in(backend, fault):
    with Simulator(latency=0.0, faults=Faults(**{fault: 1.0})) as sim:
        found = post(sim.base_url)
    assert isinstance(found, HttpFailure) and "larger than 20 MiB" in found.message


def test_an_unsigned_certificate_is_refused_and_one_of_the_environment_is_trusted(backend, tmp_path, monkeypatch):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with raw(http(b"{}"), tls=context) as server:
        refused = post(f"https://localhost:{server.port}/v1")
        assert isinstance(refused, HttpFailure) and not refused.sent and "certificate" in refused.message.lower()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert isinstance(post(f"https://localhost:{server.port}/v1"), HttpResponse)
        wrong = post(f"https://127.0.0.1:{server.port}/v1")  # the certificate is for another name
        assert isinstance(wrong, HttpFailure) and not server.asked[1:]


def test_a_proxy_of_the_environment_is_used_and_loopback_passes_none(backend, sim, monkeypatch):
    with raw(http(b'{"proxied": true}')) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post("http://example.invalid/v1").body == b'{"proxied": true}'
        assert proxy.asked[0].startswith(b"POST http://example.invalid/v1/chat/completions")
        assert post(sim.base_url).status == 200 and len(proxy.asked) == 1
        monkeypatch.setenv("NO_PROXY", "example.invalid")
        monkeypatch.setenv("no_proxy", "example.invalid")
        assert isinstance(post("http://example.invalid/v1"), HttpFailure) and len(proxy.asked) == 1


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(backend, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secretword@127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "socks5://user:secretword@127.0.0.1:9")
    with pytest.raises(tsn.errors.ConfigError, match="ALL_PROXY") as caught:
        post("http://example.invalid/v1")
    assert "secretword" not in str(caught.value)


def test_many_at_once_share_a_few_small_clients(sim):
    async def work():
        transport = HttpxTransport(f"{sim.base_url}/chat/completions", Secret(None), SECONDS)
        answers = await asyncio.gather(*(transport.post(BODY, str(number)) for number in range(40)))
        await transport.aclose()
        return {answer.status for answer in answers}, len(transport._all)

    assert process_state.submit(work()).result(SECONDS) == ({200}, 10)


def test_a_whole_run_works_with_either_backend(backend, client):
    out = pd.DataFrame({"t": [f"x{number}" for number in range(50)]}).tsn.complete("{t}", client=client)
    assert out["content"].notna().all()
