"""NO_PROXY in each form that curl takes."""

from __future__ import annotations

import pytest

import tsn_frames as tsn
from tsn_frames.engine.transport.environment import is_excepted, proxy_for


@pytest.mark.parametrize(
    ("entries", "host", "excepted"),
    [
        ("*", "a.example", True),
        ("example.com", "example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        (".example.com", "example.com", True),
        ("EXAMPLE.com.", "api.example.com", True),
        ("example.com", "badexample.com", False),
        ("localhost other.com", "other.com", True),
        ("localhost , other.com ,", "other.com", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.0/8", "10.200.3.4", True),
        ("10.0.0.1/8", "10.200.3.4", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "example.com", False),
        ("[::1]", "::1", True),
        ("::1", "::1", True),
        ("::1/128", "::1", True),
        ("fd00::/8", "fd12::5", True),
        ("[fd00::]/8", "fd12::5", True),
        ("[0:0:0:0:0:0:0:1]", "::1", True),
        ("::/0", "10.0.0.1", False),
        ("example.com:443", "example.com", True),
        ("example.com:80", "example.com", False),
        ("[::1]:443", "::1", True),
        ("", "example.com", False),
    ],
)
def test_each_form_of_an_entry_excepts_its_hosts(entries, host, excepted):
    assert is_excepted(host, 443, entries) is excepted


@pytest.mark.parametrize("bad", ["10.0.0.0/99", "[::1", "fd00::/8/8", "x/y", "http://example.com"])
def test_an_entry_that_is_none_of_these_is_an_error_that_names_it(bad):
    with pytest.raises(tsn.errors.ConfigError, match="NO_PROXY has"):
        is_excepted("example.com", 443, f"*,{bad}")


def test_a_proxy_is_taken_by_scheme_and_may_lack_its_own(monkeypatch):
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "fd00::/8")
    assert proxy_for("https://api.example.com/v1") == "http://proxy.example:3128"
    assert (
        proxy_for("https://[fd00::7]/v1") is proxy_for("http://api.example.com/v1") is proxy_for("https://127.0.0.1/v1") is None
    )
