"""A run as its user holds it: what it says before, while and after."""

import threading

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.simulator import Quota, Simulator


def rows(number):
    return pd.DataFrame({"t": [f"row {i}" for i in range(number)]})


@pytest.fixture
def slow(tmp_path):
    """An account of 60 requests a minute."""
    with Simulator(latency=0.0, quota=Quota(requests=60, window=60.0)) as sim:
        yield tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", limits=tsn.Limits(4))


def stop_soon(seconds=1.0):
    timer = threading.Timer(seconds, lambda: tsn.last_run().stop())
    timer.start()
    return timer


def test_a_run_of_over_ten_minutes_says_so_with_the_arithmetic_and_the_way_out(slow):
    stop_soon()
    with pytest.warns(tsn.TSNWarning) as told:
        rows(900).tsn.complete("{t}", client=slow, progress=False)
    texts = [str(one.message) for one in told]
    assert any(
        ("about 15 minutes" in text or "about 14 minutes" in text) and "at 60 a minute" in text and "background=True" in text
        for text in texts
    ), texts
    assert told[0].filename == __file__


def test_limits_that_the_user_sets_are_reckoned_with_too(client):
    limited = tsn.Client(client.base_url, model="sim-small", cache=client.cache.folder, ledger=client.ledger.path,
                         limits=tsn.Limits(requests_per_minute=20))  # fmt: skip
    stop_soon()
    with pytest.warns(tsn.TSNWarning, match="at 20 a minute"):
        rows(400).tsn.complete("{t}", client=limited, progress=False)


def test_a_short_run_says_nothing(client, recwarn):
    rows(50).tsn.complete("{t}", client=client, progress=False)
    assert not recwarn.list


def test_a_run_that_was_stopped_returns_what_it_has_and_the_next_one_goes_on(sim, client):
    run = rows(30).tsn.complete("{t}", client=client, background=True)
    run.stop()
    partial = run.result(progress=False)
    again = rows(30).tsn.complete("{t}", client=client, progress=False)
    assert partial["content"].notna().sum() + partial["error"].str.startswith("not_sent").sum() == 30
    assert again["content"].notna().all()
    assert max(sim.stats().billed_by_prompt.values()) == 1


def test_the_summary_says_what_was_waited_for(slow):
    run = rows(70).tsn.complete("{t}", client=slow, background=True)
    threading.Event().wait(1.5)
    run.stop()
    run.result(progress=False)
    summary = run.summary
    assert summary.waited["requests"] > 1 and "s for requests" in str(summary)
    assert summary.answered == 60 and summary.not_sent == 10


def test_answers_that_may_have_been_billed_are_counted(tmp_path):
    from tsn_frames.simulator import Faults

    with Simulator(latency=0.0, faults=Faults(reset=1.0, first_attempt_only=True)) as sim:
        client = tsn.Client(
            sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", retry=tsn.Retry(backoff=0.01)
        )
        rows(5).tsn.complete("{t}", client=client, progress=False)
    summary = tsn.last_run().summary
    assert (summary.answered, summary.retried, summary.unknown) == (5, 5, 5)
    assert "5 possibly billed without an answer" in str(summary)


def test_the_bar_shows_rows_tokens_and_the_summary(client, capsys):
    rows(5).tsn.complete("{t}", client=client, progress=True)
    shown = capsys.readouterr().err
    assert "5/5" in shown and "tokens" in shown and "5 of 5 rows answered" in shown


def test_nothing_is_shown_where_nobody_looks(client, capsys):
    rows(5).tsn.complete("{t}", client=client)
    assert capsys.readouterr() == ("", "")


def test_several_returned_models_are_told_with_counts_and_dates(client, tmp_path):
    """A cache that is filled over months holds the answers of more than one version of a model."""
    from tsn_frames.frames.prompt import render
    from tsn_frames.verbs.plan import plan

    requests = plan(client, render(rows(4), "{t}", None, None, "skip"), {"model": "sim-small"}, {}).requests
    store = client.cache.open()
    body = '{{"model":"{}","choices":[{{"message":{{"content":"x"}},"finish_reason":"stop"}}]}}'
    store.write(
        [(request.key, body.format(f"sim-small-{i % 2}").encode(), 1.7e9 + i * 1e7) for i, request in enumerate(requests)]
    )
    store.close()
    with pytest.warns(tsn.TSNWarning, match="several models: 'sim-small-0' x 2 .2023-11-1.*'sim-small-1' x 2"):
        out = rows(4).tsn.complete("{t}", client=client, include=["model"])
    assert out["model"].nunique() == 2
