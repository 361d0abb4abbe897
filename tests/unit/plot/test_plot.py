"""Pictures: what they show of real spending, that they can be read in light and dark, and what they say when there is nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import sys
from contextlib import closing

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.text import Text

import tsn_frames as tsn
from tsn_frames.plot import axes

mpl.use("Agg")
PRICES = {"sim-small": (0.25, 1.00), "sim-large": (2.50, 10.00)}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def client(sim, tmp_path):
    return tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "cache", ledger=tmp_path / "ledger.db", prices=PRICES)


def lines(days=30, models=("a", "b"), number=200, **columns):
    random = np.random.default_rng(0)
    time = pd.Timestamp("2026-10-01", tz="UTC") + pd.to_timedelta(random.uniform(0, days, number), unit="D")
    cost = pd.array(random.lognormal(-5, 1, number), dtype="Float64")
    frame = pd.DataFrame({"time": time, "cost": cost, "model": pd.array(random.choice(models, number), dtype="string")})
    return frame.assign(**{"tag": pd.array([None] * number, dtype="string"), "currency": "USD", **columns})


def table(*rows):
    names = ["model", "answered", "cost", "agreement", "agreement_low", "agreement_high"]
    return pd.DataFrame(rows, columns=names).set_index("model")


TABLE = table(("small", 100, 0.01, 0.7, 0.6, 0.8), ("large", 100, 0.05, 0.8, 0.7, 0.9))


def heights(ax):
    return sum(bar.get_height() for bar in ax.patches)


def said(ax):
    return " ".join(text.get_text() for text in ax.texts)


def title(ax):
    """Return what stands below the title's first line."""
    return ax.get_title(loc="left").partition("\n")[2]


# Spending


def test_the_bars_of_spending_add_up_to_the_ledger(client):
    df = pd.DataFrame({"text": ["a", "b", "c", "d"], "team": ["red", "blue", "red", None]})
    df.tsn.complete("{text}", client=client, tag=df["team"], progress=False)
    df.tsn.complete("{text}", model="sim-large", client=client, tag="blue", progress=False)
    total = client.ledger.to_frame()["cost"].sum()
    for by, groups in (("model", 2), ("tag", 3), (None, 1)):
        ax = tsn.plot.spending(client, by=by)
        assert heights(ax) == pytest.approx(total) and len(ax.containers) == groups
    labels = [text.get_text() for text in tsn.plot.spending(client.ledger, by="tag").get_legend().get_texts()]
    assert labels == ["blue", "red", "(no tag)"]  # what cost most comes first
    tsn.set_client(client)
    assert heights(tsn.plot.spending()) == pytest.approx(total)


def test_more_groups_than_colours_share_the_last_one():
    frame = lines(models=list("abcdefg"))
    ax = tsn.plot.spending(frame)
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "3 others" and len(ax.containers) == 5
    assert heights(ax) == pytest.approx(frame["cost"].sum())


def test_a_single_group_beyond_those_with_a_colour_is_one_other():
    times = pd.to_datetime(["2026-03-01"] * 5, utc=True)
    lines = pd.DataFrame({"time": times, "model": list("abcde"), "cost": [5.0, 4.0, 3.0, 2.0, 1.0]})
    names = [text.get_text() for text in tsn.plot.spending(lines).get_legend().get_texts()]
    assert names == ["a", "b", "c", "d", "1 other"]


@pytest.mark.parametrize(("every", "bars"), [("hour", 1), ("day", 2), ("month", 1)])
def test_a_bar_is_an_hour_a_day_or_a_month_of_the_time_zone_that_is_named(every, bars):
    frame = pd.DataFrame({"time": pd.to_datetime(["2026-10-31 21:30", "2026-10-31 22:30"], utc=True), "cost": [1.0, 2.0]})
    kyiv = tsn.plot.spending(frame, by=None, every="day", timezone="Europe/Kyiv")
    assert [text.get_text() for text in kyiv.get_xticklabels()] == ["31 Oct", "01 Nov"]
    assert kyiv.get_xlabel() == "day (Europe/Kyiv)"
    assert len(tsn.plot.spending(frame, by=None, every="day").patches) == 1


def test_unknown_costs_are_counted_above_the_bars():
    frame = lines(number=10)
    frame.loc[:2, "cost"] = pd.NA
    assert "at least" in title(tsn.plot.spending(frame)) and "3 requests is unknown" in title(tsn.plot.spending(frame))
    assert "No cost is known" in said(tsn.plot.spending(frame.head(3)))


def test_names_are_not_formulas_and_none_is_left_out():
    names = ["_private", "R$D $\\frac{$", "a <b>\nlong " + "name " * 20]
    frame = lines(models=names, currency="$")
    ax = tsn.plot.spending(frame)
    ax.figure.canvas.draw()  # a formula that is none would raise here
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(shown) == sorted(axes.short(name) for name in names) and all(len(name) <= 24 for name in shown)
    drawn = tsn.plot.compare(
        table(*[(name, 100, 0.01, 0.7, 0.6, 0.8) for name in names], ("$x$", 9, None, None, None, None)), currency="$"
    )
    drawn.figure.canvas.draw()
    assert drawn.get_xlabel() == "cost of 1,000 answers ($)" and r"\$x\$" in title(drawn)
    tsn.plot.costs(pd.Series([0.1, 0.2]), currency="$").figure.canvas.draw()


def test_lines_that_were_saved_and_put_together_are_drawn_too(tmp_path):
    lines().to_csv(tmp_path / "lines.csv", index=False)
    read = pd.read_csv(tmp_path / "lines.csv")
    assert heights(tsn.plot.spending(pd.concat([read, read]))) == pytest.approx(2 * lines()["cost"].sum())


def test_a_ledger_without_a_line_says_so(client):
    assert "Nothing was spent yet" in said(tsn.plot.spending(client))


def test_currencies_are_not_added_up():
    frame = lines()
    frame.loc[:9, "currency"] = "EUR"
    with pytest.raises(tsn.errors.ParameterError, match="several currencies"):
        tsn.plot.spending(frame)
    assert tsn.plot.spending(frame[frame["currency"] == "EUR"]).get_ylabel() == "spent (EUR)"
    frame["currency"] = frame["currency"].replace("EUR", None)
    with pytest.raises(tsn.errors.ParameterError, match="several currencies, 'USD', none"):
        tsn.plot.spending(frame)


@pytest.mark.parametrize(
    "words",
    [
        {"by": "modl"},
        {"timezone": "Mars"},
        {"timezone": None},
        {"every": "week"},
        {"ledger": "ledger.db"},
        {"ledger": pd.DataFrame({"a": [1]})},
    ],
)
def test_words_of_spending_that_can_not_be_are_refused(words):
    with pytest.raises(tsn.errors.ParameterError):
        tsn.plot.spending(**{"ledger": lines(), **words})
    with pytest.raises(tsn.errors.ParameterError, match="ax must be"):
        tsn.plot.spending(lines(), ax=plt.figure())


# The cost of rows


def test_every_row_that_cost_something_is_in_a_bar(client):
    df = pd.DataFrame({"text": [f"message {'x' * n}" for n in range(50)]})
    out = df.tsn.complete("{text}", client=client, name="answer", progress=False)
    ax = tsn.plot.costs(out, "answer_cost", currency="USD")
    assert heights(ax) == 50 and ax.get_xscale() == "linear"
    assert ax.get_xlabel() == "cost of 1,000 such rows (USD)" and ax.get_ylabel() == "rows"


def test_a_long_tail_gets_a_logarithmic_axis_and_loses_no_row():
    costs = pd.Series(np.random.default_rng(0).lognormal(-10, 1.3, 2000))
    ax = tsn.plot.costs(costs)
    assert ax.get_xscale() == "log" and ", log scale" in ax.get_xlabel() and heights(ax) == 2000


def test_rows_that_are_not_drawn_are_counted():
    note = title(tsn.plot.costs(pd.Series([0.1, 0.2, 0.0, 0.0, None], dtype="Float64"), currency="USD"))
    assert "total at least 0.30 USD" in note and "not drawn: 2 at 0 and 1 unknown" in note


@pytest.mark.parametrize(
    ("costs", "estimated"),
    [
        ([], "There are no rows"),
        ([0.0, 0.0], "2 rows at 0"),
        ([None, None], "The cost of no row is known"),
        ([0.0, None], "1 unknown"),
    ],
)
def test_rows_without_a_cost_say_so(costs, estimated):
    assert estimated in said(tsn.plot.costs(pd.Series(costs, dtype="Float64")))


@pytest.mark.parametrize("costs", [[0.001], [0.001] * 5, [0.001, 0.002], [1e-9, 5.0], [1234.5, 99999.0]])
def test_few_rows_make_a_picture_too(costs):
    ax = tsn.plot.costs(pd.Series(costs))
    assert heights(ax) == len(costs)
    assert not any("e-" in text.get_text() or "e+" in text.get_text() for text in ax.get_xticklabels())


@pytest.mark.parametrize("currency", ["$", r"$\frac{", "A$"])
def test_a_currency_is_not_a_formula_above_the_bars_either(currency):
    drawn = tsn.plot.costs(pd.Series([0.1, 0.2, 0.3]), currency=currency)
    drawn.figure.canvas.draw()  # an unfinished formula raises
    assert drawn.get_title(loc="left").count(r"\$") == 2


def test_a_report_has_the_costs_of_cached_rows_too(client):
    tsn.set_client(client)
    df = pd.DataFrame({"text": [f"message {'x' * n}" for n in range(9)]})
    df.tsn.complete("{text}", progress=False)
    again = df.tsn.complete("{text}", include=["request_key", "model"], progress=False)
    assert "9 rows at 0" in said(tsn.plot.costs(again))
    assert heights(tsn.plot.costs(again.tsn.cost(basis="answers"))) == 9
    with pytest.raises(tsn.errors.ParameterError, match="usage has no costs"):
        tsn.plot.costs(again.tsn.usage())


@pytest.mark.parametrize("costs", [pd.DataFrame({"price": [1.0]}), pd.Series(["a"]), [1.0], 3])
def test_costs_that_are_none_are_refused(costs):
    with pytest.raises(tsn.errors.ParameterError):
        tsn.plot.costs(costs)


# Estimates


@pytest.fixture
def ran(client):
    df = pd.DataFrame({"text": [f"message {'x' * (n % 17)}" for n in range(60)]})
    words = dict(client=client, max_tokens=200)
    estimated = {
        "before": df.tsn.estimate("{text}", **words),
        "pilot": df.tsn.estimate("{text}", **words, pilot=10, progress=False),
    }
    df.tsn.complete("{text}", **words, progress=False)
    return estimated, tsn.last_run()


def test_an_estimate_is_drawn_in_percent_of_the_actual_cost(ran):
    estimated, run = ran
    ax = tsn.plot.estimate(estimated["pilot"], run, currency="EUR")
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert [name.splitlines()[0] for name in names] == ["prompt tokens", "completion tokens", "cost"]
    assert names[0].endswith(f"actual {run.summary.prompt_tokens:,}") and names[2].endswith(" EUR")
    drawn = ax.lines[0].get_xdata()
    assert drawn * run.summary.prompt_tokens == pytest.approx(
        [estimated["pilot"].prompt_tokens.low, estimated["pilot"].prompt_tokens.high]
    )
    assert title(ax) == ""
    assert tsn.plot.estimate(estimated["pilot"]).lines[0].get_xdata() == pytest.approx(drawn)  # by its requests
    assert tsn.plot.estimate(estimated["pilot"], run.summary).lines[0].get_xdata() == pytest.approx(drawn)


def test_an_estimate_of_other_requests_says_so(ran):
    estimated, run = ran
    assert title(tsn.plot.estimate(estimated["before"], run)) == "the estimate is of 17 requests, the run sent 7"


def test_the_run_of_an_estimate_is_found_by_its_requests(ran, client):
    """Not the newest one; one that sent as many as were to be sent, and one that sent any rather than one over cached answers."""
    estimated, run = ran
    expected = tsn.plot.estimate(estimated["pilot"], run).lines[0].get_xdata()
    df = pd.DataFrame({"text": [f"message {'x' * (n % 17)}" for n in range(60)]})
    for words in ({"cache": "refresh"}, {}, {"system": "Be brief."}):
        df.tsn.complete("{text}", client=client, max_tokens=200, progress=False, **words)
        assert tsn.plot.estimate(estimated["pilot"]).lines[0].get_xdata() == pytest.approx(expected)
    restored = pickle.loads(pickle.dumps(estimated["pilot"]))
    assert tsn.plot.estimate(restored).lines[0].get_xdata() == pytest.approx(expected)


def test_an_estimate_without_a_run_says_what_to_do(client):
    df = pd.DataFrame({"text": list("abcdefghijklmnop")})
    found = df.tsn.estimate("{text}", client=client, pilot=10, progress=False)
    df.head(3).tsn.complete("Other: {text}", client=client, progress=False)
    with pytest.raises(tsn.errors.ParameterError, match=r"no run has sent its requests, by .*ledger\.db: make the call that was"):
        tsn.plot.estimate(found)
    *_, other = client.ledger.run_records()
    hashes = json.dumps({"keys": found._call.keys})
    with closing(client.ledger.open()) as file:
        file.write([other._replace(run="unfinished", ended=None, end=None, hashes=hashes)])
    with pytest.raises(tsn.errors.ParameterError, match="the run of its requests has not ended"):
        tsn.plot.estimate(found)
    several = tsn.estimate(df.tsn.compare, "{text}", models=["sim-small", "sim-large"], client=client)
    with pytest.raises(tsn.errors.ParameterError, match=r"the sum of several runs: give the run, such as run=tsn\.last_run"):
        tsn.plot.estimate(several)


def test_a_range_without_an_end_gets_an_arrow(client):
    df = pd.DataFrame({"text": list("abc")})
    estimated = df.tsn.estimate("{text}", client=client)
    df.tsn.complete("{text}", client=client, progress=False)
    assert estimated.cost.high is None
    ax = tsn.plot.estimate(estimated)
    assert ">" in [line.get_marker() for line in ax.lines] and "or more" in ax.get_yticklabels()[-1].get_text()


def test_an_estimate_that_is_far_off_gets_a_logarithmic_axis(ran):
    estimated, run = ran
    far = dataclasses.replace(estimated["pilot"], cost=estimated["pilot"].cost._replace(high=run.summary.cost * 40))
    ax = tsn.plot.estimate(far, run)
    ax.figure.canvas.draw()
    shown = [text.get_text() for text in ax.get_xticklabels()]
    assert ax.get_xscale() == "log" and "100 %" in shown and "1,000 %" in shown


def test_an_estimate_of_nothing_says_so(ran, client):
    df = pd.DataFrame({"text": ["message "]})
    estimated = df.tsn.estimate("{text}", client=client, max_tokens=200)
    df.tsn.complete("{text}", client=client, max_tokens=200, progress=False)
    assert "nothing to compare" in said(tsn.plot.estimate(estimated))


@pytest.mark.parametrize("words", [{"estimate": 3}, {"run": "last"}, {"run": pd.DataFrame()}])
def test_words_of_an_estimate_that_can_not_be_are_refused(ran, words):
    estimated, run = ran
    with pytest.raises(tsn.errors.ParameterError):
        tsn.plot.estimate(**{"estimate": estimated["pilot"], "run": run, **words})


# Models


def test_a_comparison_is_drawn_with_its_intervals(client):
    df = pd.DataFrame({"text": list("abcdefgh"), "gold": ["x", "y"] * 4})
    found = df.tsn.compare("One of: x, y. {text}", models=list(PRICES), gold="gold", client=client, progress=False)
    ax = tsn.plot.compare(found)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(PRICES)
    for (_, row), drawn in zip(found.table.iterrows(), ax.containers, strict=True):
        points, _, (bars,) = drawn.lines
        assert points.get_xdata()[0] == pytest.approx(row["cost"] / row["answered"] * 1000)
        assert points.get_ydata()[0] == row["agreement"]
        low, high = bars.get_segments()[0][:, 1]
        assert (low, high) == (pytest.approx(row["agreement_low"]), pytest.approx(row["agreement_high"]))


def test_models_without_a_cost_or_an_answer_are_named():
    ax = tsn.plot.compare(
        table(*TABLE.reset_index().to_numpy().tolist(), ("free", 9, None, 0.5, 0.4, 0.6), ("dead", 0, 0.0, None, None, None))
    )
    assert title(ax).endswith(": free, dead") and len(ax.containers) == 2
    assert "No model has both" in said(tsn.plot.compare(table(("dead", 0, 0.0, None, None, None))))


def test_models_of_very_different_cost_get_a_logarithmic_axis():
    assert tsn.plot.compare(TABLE).get_xscale() == "linear"
    ax = tsn.plot.compare(table(("a", 100, 0.001, 0.7, 0.6, 0.8), ("b", 100, 0.9, 0.8, 0.7, 0.9)))
    assert ax.get_xscale() == "log" and ax.get_xlabel().endswith(", log scale")


def test_a_comparison_without_gold_has_nothing_to_draw(client):
    found = pd.DataFrame({"text": ["a"]}).tsn.compare("{text}", models=["sim-small"], client=client, progress=False)
    with pytest.raises(tsn.errors.ParameterError, match="gold"):
        tsn.plot.compare(found)
    with pytest.raises(tsn.errors.ParameterError, match="comparison is needed"):
        tsn.plot.compare(pd.DataFrame({"a": [1]}))


def test_the_currency_of_a_comparison_is_its_tables():
    assert tsn.plot.compare(TABLE.assign(currency="EUR")).get_xlabel() == "cost of 1,000 answers (EUR)"
    with pytest.raises(tsn.errors.ParameterError, match="several currencies"):
        tsn.plot.compare(TABLE.assign(currency=["EUR", "USD"]))


# All of them

# Evaluations


def evaluation(**words):
    df = pd.DataFrame(
        {"gold": ["a", "b"] * 30, "one": ["a"] * 20 + ["a", "b"] * 20, "two": ["a", "b"] * 30, "by": ["x", "y"] * 30}
    )
    return df.tsn.evaluate(words.pop("label", "one"), gold="gold", split=None, **words)


def test_an_evaluation_is_drawn_with_its_intervals():
    found = evaluation()
    ax = found.plot()
    assert [text.get_text() for text in ax.get_yticklabels()] == found.table.index.tolist()
    (container,) = ax.containers
    assert container.lines[0].get_xdata() == pytest.approx(found.table["value"].to_numpy(dtype=float))
    ends = [line.vertices[:, 0].tolist() for line in container.lines[2][0].get_paths()]
    assert ends == pytest.approx(found.table[["low", "high"]].to_numpy(dtype=float))


@pytest.mark.parametrize("words", [{"label": ["one", "two"]}, {"by": "by"}, {"label": ["one", "two"], "by": ["by"]}])
def test_columns_and_groups_of_an_evaluation_have_points_of_their_own(words):
    ax = tsn.plot.evaluation(evaluation(**words).table)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(ax.containers) == len(names) == (4 if len(words) == 2 else 2)
    assert names[0] == {("label",): "one", ("by",): "x", ("label", "by"): "('one', 'x')"}[tuple(words)]


@pytest.mark.parametrize("given", [3, pd.DataFrame({"value": [1.0]}), TABLE])
def test_what_is_not_an_evaluation_is_refused(given):
    with pytest.raises(tsn.errors.ParameterError, match="an evaluation is needed"):
        tsn.plot.evaluation(given)


PICTURES = {
    "evaluation": lambda ax=None: tsn.plot.evaluation(evaluation(), ax=ax),
    "spending": lambda ax=None: tsn.plot.spending(lines(), ax=ax),
    "costs": lambda ax=None: tsn.plot.costs(pd.Series([0.00101, 0.00202, 0.303] * 9 + [0, None]), currency="USD", ax=ax),
    "compare": lambda ax=None: tsn.plot.compare(TABLE, ax=ax),
}


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_drawn_where_it_is_asked_for(draw):
    ax = plt.subplots()[1]
    assert draw(ax) is ax
    assert draw() is not ax


def luminance(colour):
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def contrast(one, other):  # WCAG 2
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["default", "dark_background", "ggplot", "grayscale"])
@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_every_word_can_be_read_in_light_and_dark(draw, style):
    with plt.style.context(style):
        ax = draw()
        ax.figure.canvas.draw()
        words = [text for text in ax.findobj(Text) if text.get_text() and text.get_visible()]
        assert len(words) > 6
        for text in words:
            assert contrast(text.get_color(), ax.figure.get_facecolor()) >= 4.5, text.get_text()


@pytest.mark.parametrize("colour", [*axes.COLOURS, axes.REST])
def test_a_colour_stands_out_from_white_and_from_black(colour):
    assert contrast(colour, "white") >= 2.9 and contrast(colour, "black") >= 2.9


def test_neighbouring_colours_differ_for_the_colour_blind():
    # G. M. Machado et al., IEEE TVCG 15 (2009), 1291: deuteranopia and protanopia, in linear RGB.
    for matrix in (
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    ):
        seen = [np.array(matrix) @ np.array(to_rgb(c)) ** 2.2 for c in axes.COLOURS]
        for one, other in itertools.combinations(seen, 2):
            assert np.abs(one - other).max() > 0.1


TITLES = {
    "evaluation": "Agreement with gold", "spending": "Spending by day and model", "costs": "Cost of the rows",
    "compare": "Cost and agreement with gold",
}  # fmt: skip


@pytest.mark.parametrize("draw", PICTURES)
def test_a_picture_has_a_title(draw):
    assert PICTURES[draw]().get_title(loc="left").splitlines()[0] == TITLES[draw]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: tsn.plot.spending(lines(models=[f"a gateway/vendor-large-instruct-{n}" for n in range(6)])),
        lambda: tsn.plot.compare(TABLE),
        lambda: tsn.plot.evaluation(evaluation(label=["one", "two"])),
    ],
)
def test_a_legend_is_beside_the_data_and_leaves_them_half_of_the_picture(draw):
    ax = draw()
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.bbox.x1
    assert ax.bbox.width > 0.5 * ax.figure.bbox.width


def test_the_currency_of_a_frame_is_that_of_the_runs_that_answered_it(sim, tmp_path):
    prices = tsn.Prices(PRICES, currency="EUR")
    made = tsn.Client(sim.base_url, model="sim-small", prices=prices, cache=tmp_path / "cache", ledger=tmp_path / "ledger.db")
    tsn.set_client(made)
    out = pd.DataFrame({"text": list("abc")}).tsn.complete("Say: {text}", progress=False)
    ax = tsn.plot.costs(out)
    assert ax.get_xlabel().endswith("(EUR)") and " EUR" in title(ax)


def test_the_words_of_a_picture_are_within_it():
    for draw in PICTURES.values():
        ax = draw()
        ax.figure.canvas.draw()
        width, height = ax.figure.canvas.get_width_height()
        for text in set(ax.findobj(Text)) - set(ax.get_xticklabels()) - set(ax.get_yticklabels()):
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text.get_text()


def test_without_matplotlib_the_way_to_get_it_is_stated(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(tsn.errors.ConfigError, match=r"pip install 'tsn-frames\[plot\]'"):
        tsn.plot.costs(pd.Series([0.1]))
