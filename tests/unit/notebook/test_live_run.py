"""A run in the background in a real IPython kernel: a bar that goes on, stops, and can be read when the notebook is opened again."""

import warnings

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.simulator import Simulator
from tsn_frames.verbs.run.background_run import BackgroundRun

WIDGET = "application/vnd.jupyter.widget-view+json"
SETUP = """
import time
import pandas as pd, tsn_frames as tsn
from tsn_frames.simulator import Simulator
sim = tsn.simulate(latency=0.0)
slow = tsn.Client(Simulator(latency=0.2).start().base_url, model="sim-small", limits=tsn.Limits(1))
df = pd.DataFrame({"text": [f"row {i}" for i in range(100)]})
"""


@pytest.mark.slow
def test_a_run_that_goes_on_is_a_live_bar_and_ends_as_a_line_that_can_be_saved(kernel):
    kernel.run('slower = tsn.Client(Simulator(latency=2.0).start().base_url, model="sim-small", limits=tsn.Limits(1))')
    (shown,) = kernel.run('run = df.tsn.start("Go: {text}", client=slower)\nrun').of("display_data")
    assert WIDGET in shown["data"] and "starting" in shown["data"]["text/plain"]
    assert "of 100 rows" in shown["data"]["text/html"]
    kernel.run("run.stop()")
    kernel.run("while any(t.name == 'tsn_frames-bar' for t in __import__('threading').enumerate()): time.sleep(0.05)")
    assert WIDGET not in shown["data"]
    assert shown["data"]["text/plain"].startswith("stopped: ") and "not sent" in shown["data"]["text/html"]


@pytest.mark.slow
def test_the_stop_button_stops_the_run(kernel):
    kernel.run(
        "from tsn_frames.notebook import live_run\n"
        'run = df.tsn.start("Button: {text}", client=slow)\n'
        "_, bar, button = live_run._widgets(run, run._view())\nbutton.click()\nrun.wait(progress=False)"
    )
    assert kernel.run("print(repr(run), button.description)").stream("stdout").startswith("<Run stopped: ")


@pytest.mark.slow
def test_a_run_that_is_over_is_a_line(kernel):
    (shown,) = kernel.run('run = df.tsn.start("Over: {text}")\nout = run.result(progress=False)\nrun').of("display_data")
    assert WIDGET not in shown["data"] and shown["data"]["text/plain"].startswith("100 of 100 rows answered")


@pytest.mark.slow
def test_an_interrupted_bar_promises_no_time(kernel):
    kernel.start('df.tsn.complete("Time: {text}", client=slow)')
    kernel.wait_until("s left")
    kernel.interrupt()
    (bar,) = kernel.end().shown()
    assert "of 100 rows" in bar and "left" not in bar and "a minute" not in bar and bar.endswith("stopped")


@pytest.mark.slow
def test_compare_names_the_model_at_each_bar(kernel):
    cell = kernel.run('found = df.head(3).tsn.compare("Compare: {text}", models=["sim-small", "sim-large"])')
    assert [line.partition(": ")[0] for line in cell.shown()] == ["sim-small", "sim-large"]


def test_the_words_for_the_state_of_a_run(tmp_path):
    with Simulator(latency=0.05) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", limits=tsn.Limits(1))
        df = pd.DataFrame({"text": [f"row {i}" for i in range(1000)]})
        run = df.tsn.start("{text}", client=client)
        assert repr(run).startswith(("<Run starting: 0 of 1,000", "<Run running: "))
        run.stop()
        with pytest.warns(tsn.errors.TSNWarning, match="not sent"):
            run.wait(progress=False)
        assert repr(run).startswith("<Run stopped: ") and run._view().text.startswith("stopped: ")
        done = df.head(2).tsn.start("{text}", client=client)
        done.result(progress=False)
        done.stop()
        assert repr(done).startswith("<Run done: 2 of 2 rows"), "a stop after the end changes nothing"


def test_a_stopped_run_of_several_models_is_stopped_and_not_done():
    with Simulator(latency=0.05) as sim:
        client = tsn.Client(sim.base_url, model="sim-small", limits=tsn.Limits(1))
        df = pd.DataFrame({"text": [f"row {i}" for i in range(1000)]})
        run = tsn.start(df.tsn.compare, "{text}", models=["sim-small", "sim-large"], client=client)
        run._first.wait(30)
        assert run._note() == "sim-small"
        run.stop()
        with warnings.catch_warnings(), pytest.raises(tsn.RunError, match="stopped"):
            warnings.simplefilter("ignore", tsn.errors.TSNWarning)  # of the rows that were not sent
            run.result(progress=False)
        assert repr(run).startswith("<Run stopped: ")


def test_a_run_whose_account_is_empty_ended_early(capsys):
    with Simulator(latency=0.0, balance=1) as sim:
        client = tsn.Client(sim.base_url, model="sim-small")
        run = pd.DataFrame({"text": ["a", "b", "c"]}).tsn.start("{text}", client=client)
        with pytest.raises(tsn.errors.BalanceError):
            run.result(progress=True)
    assert repr(run).startswith("<Run ended early: 1 of 3 rows")
    assert "ended early: 1 of 3 rows answered" in capsys.readouterr().err


def test_a_background_run_that_failed_before_its_first_request_can_be_shown():
    with Simulator(latency=0.0) as sim:
        client = tsn.Client(sim.base_url, model="sim-small")
        run = BackgroundRun(client, 3, lambda _: (_ for _ in ()).throw(tsn.errors.CacheError("locked")))
        assert run.finished.wait(30)
        assert repr(run) == "<Run ended early: CacheError: locked>" == f"<Run {run._view().text}>"
