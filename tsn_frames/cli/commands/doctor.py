"""``doctor``: what is installed, whether the service answers, and whether cache, ledger and clock are in order."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, NamedTuple

import click

from ...api.dialects.model_name_list import model_names
from ...api.serialization import try_load
from ...engine.limits.rate_headers import rate_limits
from ...engine.runtime.client import Client
from ...engine.runtime.process import process_state
from ...engine.transport.http_types import HttpFailure, HttpResponse
from ...engine.transport.select_backend import get_models
from ...errors import TSNError
from ...text import did_you_mean, plural
from ..exit_codes import ExitCode
from ..options import client_of, client_options
from .cache import damage, described

_EXTRAS = {"click": "cli", "pyarrow": "parquet", "openpyxl": "excel", "matplotlib": "plot", "genai-prices": "prices"}
_SECONDS = 15.0  # that the service has for its answer
_MOST_SKEW = 30.0  # seconds between two clocks that are in order


class Finding(NamedTuple):
    """A line of the report: ``ok``, ``note`` or ``FAIL``, and a sentence."""

    state: str
    text: str


def doctor_command() -> click.Command:
    """Return the command, with the options of the client."""

    def run(**values: Any) -> int:
        failed = False
        for finding in findings(client_of(values)):
            click.echo(f"{finding.state:<5} {finding.text}")
            failed = failed or finding.state == "FAIL"
        return ExitCode.ROWS_FAILED if failed else ExitCode.DONE

    text = """Check Python, packages, key, service, clock, cache and ledger. One GET of the list of models is sent, which costs nothing;
    the key is never shown. Exit code 1: a check failed."""
    short = "Check the installation, the service and the files."
    return click.Command("doctor", callback=run, params=[*client_options()], help=text, short_help=short)


def findings(client: Client) -> Iterator[Finding]:
    """Yield the findings on everything that a run needs."""
    yield Finding("ok", f"Python {platform.python_version()} on {platform.system()} ({sys.executable})")
    yield from _packages()
    yield Finding("ok", f"service: {client.base_url}")
    key = _key(client)
    yield key
    if key.state != "FAIL":
        yield from _service(client)
    for check in (_cache, _ledger):
        try:
            yield check(client)
        except TSNError as error:
            yield Finding("FAIL", str(error))


def _packages() -> Iterator[Finding]:
    needed = [line.split(";")[0] for line in requires("tsn-frames") or () if "extra ==" not in line]
    names = sorted({word.split(">")[0].split("=")[0].strip() for word in needed}, key=str.casefold)
    yield Finding("ok", f"tsn-frames {version('tsn-frames')} with {', '.join(f'{name} {version(name)}' for name in names)}")
    found = {name: _version(name) for name in _EXTRAS}
    if there := [f"{name} {number}" for name, number in found.items() if number]:
        yield Finding("ok", f"extras: {', '.join(there)}")
    if missing := [f"{name} (pip install 'tsn-frames[{_EXTRAS[name]}]')" for name, number in found.items() if not number]:
        yield Finding("note", f"not installed: {', '.join(missing)}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _key(client: Client) -> Finding:
    """Return whether there is a key, never which."""
    try:
        client.key()
    except TSNError as error:
        return Finding("FAIL", str(error))
    if os.getenv("TSN_API_KEY"):
        return Finding("ok", "key: given by TSN_API_KEY")
    return Finding("note", "key: none is set, and a service on this machine may need none")


def _service(client: Client) -> Iterator[Finding]:
    """Yield what one GET of the list of models says."""
    sent, began = time.time(), time.monotonic()
    answer = process_state.submit(get_models(client.base_url, client.key(), min(client.timeout, _SECONDS))).result()
    seconds = time.monotonic() - began
    if isinstance(answer, HttpFailure):
        yield Finding("FAIL", f"{client.host} can't be reached: {answer.message}. Look at the network, a proxy, and base_url")
        return
    if answer.status in (401, 403):
        yield Finding("FAIL", f"{client.host} refused the key ({answer.status})")
    elif answer.status >= 500:
        yield Finding("FAIL", f"{client.host} answers with an error ({answer.status})")
    else:
        yield Finding("ok", f"{client.host} answers in {seconds * 1000:,.0f} ms")
        yield from _models(client, answer)
    yield _clock(answer, sent + seconds / 2)
    yield _limits(answer)


def _models(client: Client, answer: HttpResponse) -> Iterator[Finding]:
    names = model_names(try_load(answer.body)) if answer.status == 200 else []
    if not names:
        yield Finding("note", "models: the service lists none")
    elif client.model is None:
        yield Finding("note", f"models: {plural(len(names), 'model')}; TSN_MODEL names none, so that --model is needed")
    elif client.model in names:
        yield Finding("ok", f"model: {client.model}, one of {len(names):,}")
    else:
        yield Finding("note", f"model: {client.model} is not in the service's list; {did_you_mean(client.model, names, most=5)}")


def _clock(answer: HttpResponse, now: float) -> Finding:
    """Compare this clock with the Date header, which has whole seconds."""
    try:
        service = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return Finding("note", "clock: the service sends no Date to compare it with")
    skew = now - service - 0.5
    if abs(skew) <= 1:
        return Finding("ok", "clock: within 1 s of the service's")
    text = f"clock: {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the service's"
    return Finding("ok" if abs(skew) <= _MOST_SKEW else "FAIL", text)


def _limits(answer: HttpResponse) -> Finding:
    requests, tokens = rate_limits(answer.headers)
    stated = [
        f"{state.limit:,.0f} {what}, {state.remaining:,.0f} left"
        for what, state in (("requests", requests), ("tokens", tokens))
        if state.limit is not None and state.remaining is not None
    ]
    if not stated:
        return Finding("note", "limits: none stated in this answer; they are learned in a run")
    return Finding("ok", f"limits: {'; '.join(stated)}")


def _cache(client: Client) -> Finding:
    problem = damage(client.cache)
    return Finding("FAIL", f"cache: {problem}") if problem else Finding("ok", f"cache: intact, {described(client.cache.stats())}")


def _ledger(client: Client) -> Finding:
    return Finding("ok", f"ledger: {plural(sum(1 for _ in client.ledger.entries()), 'attempt')}, in {client.ledger.path}")
