"""The key shows nowhere, the prompt goes nowhere else, and foreign text does nothing."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from urllib.parse import quote_plus

import pandas as pd
import pytest
from support.dialect_service import DialectService

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.engine.transport.pool import ConnectionPool
from tsn_frames.secret import Secret, redact
from tsn_frames.simulator import Faults, Simulator

# Of no known form, so that only knowing the key itself can keep it out of a text. Tests take it from here and never
# hold it in a variable of their own: their frames are part of the tracebacks that are searched.
CANARY = "canary-4f1d-9e77-b00b5"
RETRY = tsn.Retry(attempts=1, unreadable=1)


def ask(df, client, prompt="{t}", **words):
    return df.tsn.complete(prompt, client=client, progress=False, **words)


@pytest.fixture(params=["argument", "environment", "process"])
def secret_client(request, sim, tmp_path, monkeypatch):
    """A client that has the canary in one of the three ways there are."""
    if request.param == "environment":
        monkeypatch.setenv("TSN_API_KEY", CANARY)
    if request.param == "process":
        process_state.key = Secret(CANARY)
    given = {"api_key": CANARY} if request.param == "argument" else {}
    return tsn.Client(
        sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", retry=RETRY, timeout=60.0, **given
    )


def shown_by(error):
    """Everything that an error and the errors behind it can show, the locals of every frame included."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(shown.format()) + repr(error) + str(error) + repr(vars(error))


def written(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def run_and_listen(df, client, caplog, **words):
    """Return all that a run showed anywhere."""
    caplog.set_level(logging.DEBUG, logger="")
    out = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            frame = ask(df, client, **words)
        except tsn.errors.TSNError as error:
            out.append(shown_by(error))
            frame = error.partial
    out += [str(one.message) for one in caught]
    out += [record.getMessage() + repr(record.args) + str(record.exc_info) for record in caplog.records]
    if frame is not None:
        out += [frame.to_html(), frame.to_csv(), repr(frame), repr(frame.attrs)]
    run = tsn.last_run()
    out += [repr(run), str(run.summary), repr(vars(run)), repr(vars(run._engine)), repr(client), str(client), repr(vars(client))]
    return "\n".join(out)


PATHS = [
    {}, {"error_500": 1.0}, {"error_502": 1.0}, {"error_503": 1.0}, {"error_429": 1.0}, {"error_other": 1.0, "other_status": 418}, {"echo_key": 1.0},
    {"redirect": 1.0}, {"html": 1.0}, {"reset_before": 1.0}, {"reset": 1.0}, {"half_open": 1.0}, {"truncate": 1.0}, {"cut_json": 1.0}, {"malformed": 1.0},
    {"empty_body": 1.0}, {"gzip_bomb": 1.0}, {"no_choices": 1.0}, {"filtered": 1.0}, {"hang": 1.0},
]  # fmt: skip


@pytest.mark.parametrize("faults", PATHS, ids=lambda faults: "-".join(faults) or "none")
def test_no_way_that_a_run_can_end_shows_the_key(sim, tmp_path, caplog, faults):
    sim.faults = Faults(**faults)
    limits = tsn.Limits(max_wait=0.2)
    client = tsn.Client(
        sim.base_url,
        api_key=CANARY,
        model="sim-small",
        cache=tmp_path / "c",
        ledger=tmp_path / "l.db",
        retry=RETRY,
        timeout=1.5 if faults.keys() & {"half_open", "hang"} else 60.0,
        limits=limits,
    )
    for errors in ("coerce", "raise"):
        assert CANARY not in run_and_listen(pd.DataFrame({"t": ["a"]}), client, caplog, errors=errors, cache="refresh")
    assert sim.log[0].key_sent
    assert CANARY.encode() not in written(tmp_path)
    assert CANARY.encode() not in pickle.dumps(client)


@pytest.mark.parametrize("server", [{"keys": ["another"], "echo_key": True}, {"balance": 0}, {"models": ["other"]}], ids=repr)
def test_no_refusal_shows_the_key(secret_client, tmp_path, caplog, server):
    with Simulator(latency=0.0, **server) as sim:
        client = copy.copy(secret_client)
        object.__setattr__(client, "base_url", sim.base_url)
        shown = run_and_listen(pd.DataFrame({"t": list("abc")}), client, caplog)
        assert any(exchange.key_sent for exchange in sim.log)
    assert CANARY not in shown
    assert CANARY.encode() not in written(tmp_path)


def test_an_unreachable_server_does_not_reveal_the_key(sim, secret_client, caplog):
    sim.stop_listening()
    assert CANARY not in run_and_listen(pd.DataFrame({"t": ["a"]}), secret_client, caplog)


def test_an_echoed_key_is_taken_out_of_the_rows_error(sim, secret_client):
    sim.faults = Faults(echo_key=1.0)
    with pytest.warns(tsn.errors.TSNWarning):
        out = ask(pd.DataFrame({"t": ["a"]}), secret_client)
    assert out["error"].iloc[0].startswith("bad_request: 400: ")
    assert "***" in out["error"].iloc[0]


def test_a_client_shows_no_key(secret_client):
    shown = (
        repr(secret_client)
        + str(secret_client)
        + repr(vars(secret_client))
        + repr(secret_client.key())
        + f"{secret_client.api_key}"
        + repr(process_state)
    )
    assert CANARY not in shown
    assert CANARY not in repr(vars(type(secret_client.api_key)))
    assert not hasattr(secret_client.api_key, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_has_no_key(secret_client, protocol):
    if protocol >= 2:
        assert CANARY.encode() not in pickle.dumps(secret_client, protocol)
    assert CANARY.encode() not in pickle.dumps(Secret(CANARY), protocol)


def test_a_pickled_client_works_without_its_key_and_with_the_workers_own(secret_client, sim, monkeypatch):
    monkeypatch.delenv("TSN_API_KEY", raising=False)
    process_state.key = Secret(None)
    back = pickle.loads(pickle.dumps(secret_client))
    assert not back.key()
    ask(pd.DataFrame({"t": ["a"]}), back)
    monkeypatch.setenv("TSN_API_KEY", "tsn_test_of_the_worker")
    ask(pd.DataFrame({"t": ["b"]}), back)
    assert [exchange.key_sent for exchange in sim.log] == [False, True]


def test_the_error_of_a_worker_without_a_key_says_that_the_pickle_left_it_out(monkeypatch, tmp_path):
    monkeypatch.delenv("TSN_API_KEY", raising=False)
    process_state.key = Secret(None)
    remedy = r"the client was pickled, which leaves out its API key\. Set TSN_API_KEY"
    with Simulator(keys=["the-right-one"], latency=0.0) as sim:
        made = tsn.Client(
            sim.base_url, model="sim-small", api_key="the-right-one", cache=tmp_path / "c", ledger=tmp_path / "l.db"
        )
        with pytest.raises(tsn.errors.AuthenticationError, match=remedy):
            ask(pd.DataFrame({"t": ["a"]}), pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(made)))))
    far = tsn.Client("https://api.example.com", model="m", api_key=CANARY)
    with pytest.raises(tsn.errors.ConfigError, match=remedy):
        pickle.loads(pickle.dumps(far)).key()
    with pytest.raises(tsn.errors.ConfigError, match="Give one as Client"):
        pickle.loads(pickle.dumps(tsn.Client("https://api.example.com", model="m"))).key()


def test_a_copy_in_this_process_keeps_the_key(sim, client):
    for made in (copy.copy(client), copy.deepcopy(client)):
        assert made.key() == client.key()
        assert made == client


BAD_SETTINGS = [{"timeout": -1}, {"base_url": "http://example.com"}, {"prices": {"m": 1}}, {"limits": 5}, {"model": 5}]


@pytest.mark.parametrize("bad", BAD_SETTINGS, ids=lambda bad: next(iter(bad)))
def test_a_setting_that_is_refused_shows_no_key_beside_it(bad):
    with pytest.raises(tsn.errors.ConfigError) as error:
        tsn.Client(api_key=CANARY, **bad)
    assert CANARY not in shown_by(error.value)


@pytest.mark.parametrize("around", ["{}\nX-Header: y", "{}\x00", "{} {}", "{}ü"])
def test_a_key_that_is_refused_is_not_shown(around):
    with pytest.raises(tsn.errors.ConfigError) as error:
        Secret(around.format(CANARY, CANARY))
    assert CANARY not in shown_by(error.value)


def test_a_key_that_a_client_refuses_is_not_shown():
    with pytest.raises(tsn.errors.ConfigError) as error:
        tsn.Client(api_key=f"{CANARY} {CANARY}")
    assert CANARY not in shown_by(error.value)


def test_a_key_that_was_trimmed_is_not_shown():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(tsn.errors.TSNWarning) as error:
            Secret(f"Bearer {CANARY}")
    assert CANARY not in shown_by(error.value)


def test_a_key_that_is_asked_for_is_not_shown(monkeypatch):
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"{CANARY} {CANARY}")
    with pytest.raises(tsn.errors.ConfigError) as error:
        tsn.set_key()
    assert CANARY not in shown_by(error.value)
    monkeypatch.setattr("getpass.getpass", lambda prompt: CANARY)
    tsn.set_key()
    assert CANARY not in repr(process_state)
    assert process_state.key


def test_certificates_that_cannot_be_read_show_no_key(monkeypatch, tmp_path):
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    client = tsn.Client(
        "https://api.example.com", api_key=CANARY, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db", retry=RETRY
    )
    for path in (tmp_path / "bad.pem", tmp_path / "missing.pem"):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(Exception) as error:
            ask(pd.DataFrame({"t": ["a"]}), client)
        assert CANARY not in shown_by(error.value)


def test_a_host_without_an_ascii_form_is_refused_and_shows_no_key():
    host = f"https://{'ü' * 70}.example.com"
    with pytest.raises(tsn.errors.ConfigError, match="no usable host") as error:
        tsn.Client(host, api_key=CANARY)
    assert CANARY not in shown_by(error.value)
    with pytest.raises(UnicodeError) as error:
        ConnectionPool(f"{host}/v1/chat/completions", Secret(CANARY), 1.0)
    assert CANARY not in shown_by(error.value)


def test_keys_are_compared_and_hashed_by_what_they_are():
    assert Secret(CANARY) == Secret(CANARY) != Secret("another")
    assert len({Secret(CANARY), Secret(CANARY), Secret(None), Secret("")}) == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect key: tsn_live_abc-DEF_1.", "Incorrect key: ***."), ("tsn_test_x", "***"), ("sk-abcdefgh1234 is wrong", "*** is wrong"),
        ("Authorization: Bearer abc.def", "Authorization: ***"), ("BEARER  xyz", "***"), (f"got '{CANARY}'", "got '***'"),
        ("risk-free, desk-top", "risk-free, desk-top"), ("\x1b]52;c;aGk=\x07 \x9b31m\u202eabc\u2066 \u061c", "]52;c;aGk=   31m abc"),
        ("line\r\nline\tend", "line line end"), ("x" * 400, "x" * 299 + "…"), ("half \ud800", "half"),
    ],
    ids=repr,
)  # fmt: skip
def test_foreign_texts_are_shown_without_keys_or_control_characters(text, shown):
    assert redact(text, Secret(CANARY)) == shown


# Where things go


def test_a_redirect_is_not_followed(sim, secret_client):
    with Simulator(latency=0.0) as other:
        sim.faults = Faults(redirect=1.0, redirect_to=f"{other.base_url}/chat/completions")
        with pytest.raises(tsn.errors.RedirectError):
            ask(pd.DataFrame({"t": ["a"]}), secret_client)
        assert other.stats().requests == other.stats().connections == 0
    assert sim.stats().requests == 1


def test_a_key_goes_to_no_other_machine_in_the_clear(monkeypatch):
    monkeypatch.setenv("TSN_BASE_URL", "http://api.example.com/v1")
    with pytest.raises(tsn.errors.ConfigError, match="no TLS"):
        tsn.Client(api_key=CANARY)


def test_the_address_is_never_taken_from_the_data(sim, client):
    df = pd.DataFrame({"t": ["http://127.0.0.1:9/x"], "base_url": ["http://127.0.0.1:9"]})
    ask(df, client, "{t} {base_url}", extra_body={"base_url": "http://127.0.0.1:9"})
    assert sim.stats().requests == 1


def test_nothing_that_is_written_holds_a_prompt_but_the_answers_do(sim, client, tmp_path):
    ask(pd.DataFrame({"t": ["a very private matter"]}), client, "One of: yes, no. {t}")
    assert b"private" not in written(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_files_are_for_their_owner_only(client, tmp_path):
    ask(pd.DataFrame({"t": ["a"]}), client)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes.pop("cache") == 0o700
    assert set(modes.values()) == {0o600}


def test_importing_opens_no_socket_and_no_file_of_ours(tmp_path):
    script = "import sys; sys.addaudithook(lambda e, a: e.startswith('socket.connect') and sys.exit('socket')); import tsn_frames"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


# Foreign text


@pytest.mark.parametrize("attack", ["{t.__class__}", "{t.__class__.__mro__[1]}", "{t!r}", "{t[0]}", "{self}", "{__import__}"])
def test_a_template_reaches_nothing_but_columns(attack):
    with pytest.raises(tsn.errors.PromptError):
        pd.DataFrame({"t": ["x"]}).tsn.messages(attack)


RAW = ["<img src=x onerror=alert(1)>", "\x1b]52;c;aGk=\x07", "\u202eabc", "=HYPERLINK('http://x')", "<script>1</script>", "{{t}}"]


def test_the_frames_own_texts_are_never_changed(client, sim):
    df = pd.DataFrame({"t": RAW})
    out = ask(df, client)
    assert out["t"].tolist() == RAW
    assert sorted(exchange.body["messages"][0]["content"] for exchange in sim.log) == sorted(RAW)


def test_a_text_of_the_service_is_cleaned_where_it_is_an_error_only(sim, client):
    sim.faults = Faults(html=1.0)
    with pytest.warns(tsn.errors.TSNWarning):
        out = ask(pd.DataFrame({"t": ["a"]}), tsn.Client(sim.base_url, model="sim-small", retry=RETRY))
    assert not any(ord(char) < 32 or "\x7f" <= char <= "\x9f" for char in out["error"].iloc[0])


def test_a_column_name_that_is_markup_is_shown_as_text(client):
    with pytest.raises(tsn.errors.PromptError) as error:
        pd.DataFrame({"\x1b[31m<b>": ["x"]}).tsn.messages("{t}")
    assert "\x1b" not in str(error.value)


# The key in a notebook's traceback


# Forks for each cell, so that IPython is started once and no cell sees what another one changed.
VERBOSE = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
shell.run_line_magic("xmode", "Verbose")
shell.run_line_magic("colors", "nocolor")
shell.run_cell("import tsn_frames as tsn, os, getpass, warnings; from tsn_frames.secret import Secret; from canary import key")
for number, cell in enumerate(json.load(sys.stdin)):
    if (child := os.fork()) == 0:
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            result = shell.run_cell(cell)
        Path(f"{number}.txt").write_text(out.getvalue() if result.error_in_exec else "the cell raised nothing")
        os._exit(0)
    os.waitpid(child, 0)
"""
BAD_KEY = "key() + ' ' + key()"  # a call: the traceback shows the variables of the cell itself
CELLS = [
    f"tsn.Client(api_key={BAD_KEY})", f"Secret({BAD_KEY})", "tsn.Client(api_key=key(), timeout=-1)", "tsn.Client('http://example.com', api_key=key())",
    "tsn.Client(api_key=[key()])", "warnings.simplefilter('error'); tsn.Client(api_key='Bearer ' + key())",
    f"getpass.getpass = lambda prompt: {BAD_KEY}\ntsn.set_key()", f"os.environ['TSN_API_KEY'] = {BAD_KEY}\ntsn.Client('https://x.example.com').key()",
    "os.environ['TSN_API_KEY'] = key()\ntsn.Client(timeout=-1)",
    "tsn.Client(headers={'A': key(), 'B': key() + chr(10)})", "tsn.Client(query={'A': key(), 'B': 5})", "tsn.Client(headers={'A': key()}, timeout=-1)",
    "os.environ['SSL_CERT_FILE'] = 'missing.pem'\ntsn.sample_messages().tsn.complete('{text}', client=tsn.Client('https://x.example.com', api_key=key(), model='m'))",
    "tsn.sample_messages().tsn.complete('{text}', progress=False, client=tsn.Client('http://127.0.0.1:9', api_key=key(), model='m', limits=tsn.Limits(max_wait=0.1), retry=tsn.Retry(attempts=1)))",
]  # fmt: skip


@pytest.fixture(scope="module")
def tracebacks(tmp_path_factory):
    """What a notebook shows for each cell."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "canary.py").write_text(f"def key():\n    return {CANARY!r}\n")
    paths = os.pathsep.join([str(Path(tsn.__file__).parents[1]), str(folder)])
    env = {**os.environ, "PYTHONPATH": paths, "IPYTHONDIR": str(folder), "HOME": str(folder)}
    subprocess.run([sys.executable, "-c", VERBOSE], env=env, cwd=folder, input=json.dumps(CELLS), text=True, check=True)
    return {cell: (folder / f"{number}.txt").read_text() for number, cell in enumerate(CELLS)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a notebook's shell")
@pytest.mark.parametrize("cell", CELLS)
def test_a_verbose_traceback_of_a_notebook_shows_no_key(tracebacks, cell):
    assert "tsn_frames" in tracebacks[cell]
    assert "Error" in tracebacks[cell] or "Warning" in tracebacks[cell]
    assert CANARY not in tracebacks[cell]


LONG_KEY = "eyJhbGciOiJIUzI1NiJ9." + "Ab3_x9" * 50


@pytest.mark.parametrize(
    "body",
    [f"<html>token={LONG_KEY}", " " * 3950 + LONG_KEY, f"q={quote_plus('a/b+c==' + LONG_KEY)}"],
    ids=["start", "cut", "encoded"],
)
@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
@pytest.mark.parametrize("status", [200, 400])
def test_a_key_that_the_service_repeats_is_masked_before_the_text_is_cut(body, status, tmp_path):
    key = "a/b+c==" + LONG_KEY if "%2B" in body else LONG_KEY
    with DialectService(lambda *_: (status, {"Content-Type": "text/html"}, body.encode())) as service:
        client = tsn.Client(service.url, model="m", api_key=key, cache=tmp_path / "c", ledger=tmp_path / "l.db")
        out = pd.DataFrame({"t": ["x"]}).tsn.complete("{t}", client=client, progress=False)
    assert "eyJhbGci" not in out["error"][0]


KEYS = [
    "sk-CANARY1234", "tsn_live_CANARY", "Bearer CANARY", "gsk_CANARY", "AIzaCANARY", "xai-CANARY", "hf_CANARY", "nvapi-CANARY",
    "CANARY0123456789abcdef0123456789", "0123456789abcdef0123456789abcdef.CANARY", "eyJhbGci.CANARY.x", "https://sk-CANARY", b"sk-CANARY",
]  # fmt: skip
ADDRESSES = [
    "https://user:CANARY@example.com/v1", "user:CANARY@example.com", "https://CANARY@example.com", "https://example.com/v1?key=CANARY",
    "example.com/v1?api_key=CANARY", "https://example.com:99999/?key=CANARY", "http://[CANARY", "ftp://user:CANARY@example.com", "http://example.com/CANARY", "https://example.com/v1 CANARY",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(KEYS) + len(ADDRESSES)))
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_key_in_the_base_url_is_not_shown_nor_in_a_local_variable(number, where, monkeypatch):
    if isinstance([*KEYS, *ADDRESSES][number], str):
        monkeypatch.setenv("TSN_BASE_URL", [*KEYS, *ADDRESSES][number])
    else:
        where = "argument"
    with pytest.raises(tsn.errors.ConfigError, match="base_url") as error:
        tsn.Client([*KEYS, *ADDRESSES][number] if where == "argument" else None)
    shown = shown_by(error.value)
    assert "CANARY" not in shown and "0123456789abcdef" not in shown
    looks_like_one = number < len(KEYS) and isinstance(KEYS[number], str)
    assert ("looks like an API key" in str(error.value)) is looks_like_one


@pytest.mark.parametrize("bad", [{"timeout": -1}, {"limits": 5}])
def test_a_base_url_is_not_shown_by_the_error_of_another_setting(bad):
    with pytest.raises(tsn.errors.ConfigError) as error:
        tsn.Client(f"https://{CANARY}.example.com", **bad)
    assert CANARY not in shown_by(error.value)
