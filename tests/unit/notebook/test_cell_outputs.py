"""What a real IPython kernel shows below a cell: one line for a run, one block for warnings, nothing on stderr."""

import re
import warnings

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.engine.progress.counts import Counts
from tsn_frames.engine.progress.progress_bar import Progress
from tsn_frames.notebook.progress_bar import RunView
from tsn_frames.notebook.table_html import lines_html, table_html

SETUP = """
import warnings
import pandas as pd, tsn_frames as tsn
from tsn_frames.simulator import Simulator
sim = tsn.simulate(latency=0.0)
df = pd.DataFrame({"text": [f"row {i}" for i in range(5)] + [None]})
full = df.head(5)
"""


@pytest.mark.slow
def test_the_summary_is_one_line_in_the_output_of_the_bar_and_not_on_stderr(kernel):
    cell = kernel.run('out = full.tsn.complete("Sum up: {text}")')
    assert cell.stream("stderr") == cell.stream("stdout") == ""
    (line,) = cell.shown()
    assert line.startswith("5 of 5 rows answered; 5 requests to 127.0.0.1")
    (page,) = cell.shown("text/html")
    assert line in page and "color" not in page


@pytest.mark.slow
def test_progress_false_shows_nothing(kernel):
    assert kernel.run('out = full.tsn.complete("Nothing: {text}", progress=False)') == []


@pytest.mark.slow
def test_warnings_of_a_cell_stand_in_one_block_each_kind_once_with_its_line(kernel):
    cell = kernel.run(
        "for word in ('One', 'Two', 'Three'):\n    df.tsn.complete(word + ': {text}', max_tokens=1, progress=False)"
    )
    assert cell.stream("stderr") == ""
    (block,) = cell.shown()
    lines = block.splitlines()
    assert len(lines) == 2
    assert re.match(r"line 2: 1 of 6 rows is not sent, .* \(3 times\)$", lines[0])
    assert re.match(r"line 2: 5 answers cut off by max_tokens .* \(3 times\)$", lines[1])
    assert "2 warnings" in cell.shown("text/html")[0]


@pytest.mark.slow
def test_warnings_that_differ_in_a_number_only_are_one_kind(kernel):
    cell = kernel.run("for most in (3, 4):\n    full.head(most).tsn.complete('Kind: {text}', max_tokens=1, progress=False)")
    (block,) = cell.shown()
    assert re.match(r"line 2: 4 answers cut off by max_tokens .* \(2 times\)$", block)


@pytest.mark.slow
def test_the_next_cell_begins_a_new_block(kernel):
    for _ in range(2):
        (block,) = kernel.run('x = df.tsn.complete("Again: {text}", progress=False)').shown()
        assert block.startswith("line 1: 1 of 6 rows is not sent") and "times" not in block


@pytest.mark.slow
def test_a_warning_of_a_function_in_an_earlier_cell_names_that_cell(kernel):
    kernel.run('def ask(frame):\n    return frame.tsn.complete("Fn: {text}", progress=False)')
    (block,) = kernel.run("x = df.pipe(ask)").shown()
    assert re.match(r"In\[\d+\], line 2: 1 of 6 rows", block)


@pytest.mark.slow
def test_a_warning_below_a_magic_names_the_line_as_it_was_typed(kernel):
    cell = kernel.run('%%time\nx = 1\nx = df.tsn.complete("Magic: {text}", progress=False)')
    assert cell.shown()[0].startswith("line 3: 1 of 6 rows")


@pytest.mark.slow
def test_filters_and_recorders_work_as_outside_a_notebook(kernel):
    ask = 'df.tsn.complete("Filter: {text}", progress=False)'
    recorded = kernel.run(
        f"with warnings.catch_warnings(record=True) as seen:\n    x = {ask}\nprint([w.category.__name__ for w in seen])"
    )
    assert recorded.stream("stdout") == "['TSNWarning']\n" and recorded.shown() == []
    ignored = kernel.run(f"with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    x = {ask}")
    assert ignored == []
    raised = kernel.run(f"with warnings.catch_warnings():\n    warnings.simplefilter('error')\n    x = {ask}")
    assert raised.of("error")[0]["ename"] == "TSNWarning"


@pytest.mark.slow
def test_a_run_that_failed_keeps_its_line_and_the_error_follows(kernel):
    cell = kernel.run('sim.balance = 2\nfull.tsn.complete("Balance: {text}")')
    kernel.run("sim.balance = None")
    assert cell.stream("stderr") == ""
    assert [output["type"] for output in cell] == ["display_data", "error"]


def test_a_gap_that_the_user_chose_to_skip_is_not_a_warning(client):
    df = pd.DataFrame({"text": ["a", None]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = df.tsn.complete("{text}", missing="skip", client=client, progress=False)
        df.tsn.messages("{text}", missing="skip")
    assert out["error"].str.startswith("missing").tolist()[1]


@pytest.mark.parametrize("options", [{}, {"missing": {"other": ""}}])
def test_a_gap_that_the_user_has_not_chosen_is_a_warning(client, options):
    df = pd.DataFrame({"text": ["a", None], "other": ["b", "c"]})
    with pytest.warns(tsn.errors.TSNWarning, match="1 of 2 rows is not sent"):
        df.tsn.complete("{text} {other}", client=client, progress=False, **options)


def test_a_warning_through_pandas_points_at_the_users_line(client):
    def ask(frame):
        return frame.tsn.complete("{text}", client=client, progress=False)

    df = pd.DataFrame({"text": ["a", None]})
    with pytest.warns(tsn.errors.TSNWarning) as seen:
        df.pipe(ask)
        df.pipe(tsn.complete, "{text}", client=client, progress=False)
    assert {warning.filename for warning in seen} == {__file__}
    assert len({warning.lineno for warning in seen}) == 2


def test_the_bar_says_starting_until_something_is_answered(capsys):
    bar = Progress(True, lambda: "sim-small")
    bar.update(Counts(rows=20))
    bar.close(Counts(rows=20, answered=3, prompt_tokens=30), "")
    shown = capsys.readouterr().err
    assert "sim-small, starting" in shown and "sim-small, 30 tokens" in shown


@pytest.mark.parametrize(("answered", "text"), [(0, "sim-small, stopped"), (3, "sim-small, 30 tokens, stopped")])
def test_the_bar_of_a_stopped_run_says_that_and_no_pace(capsys, answered, text):
    bar = Progress(True, lambda: "sim-small")
    bar.stop(Counts(rows=20, answered=answered, prompt_tokens=10 * answered))
    assert text in capsys.readouterr().err


def test_a_line_that_wraps_leaves_no_single_word_and_begins_below_the_code_of_its_cell():
    line, bar = (RunView(1, 2, "text", over=over).html for over in (True, False))
    for shown in (line, bar, lines_html(["one line"]), table_html("Title", [])):
        assert "padding-left:var(--jp-code-padding" in shown
    assert "text-wrap:pretty" in line


def test_the_bar_escapes_what_it_shows():
    for over in (True, False):
        assert "<script>" not in RunView(1, 2, "<script>alert(1)</script>", over=over).html
