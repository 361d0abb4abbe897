"""Chart of an estimate against the run's actual usage and cost."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..engine.ledger.earlier_runs import runs_of_call
from ..engine.ledger.run_record import RunRecord
from ..errors import ParameterError
from ..text import money, plural, quoted
from ..verbs.estimate.result import Estimate
from ..verbs.estimate.survey_sampling import Range
from ..verbs.run.run_handle import Run
from ..verbs.run.summary import Summary
from . import axes
from .axes import Axes

_SHOWN = ("prompt_tokens", "completion_tokens", "cost")


class _Actual(NamedTuple):
    """What a run used and cost, and how many requests it sent."""

    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    sent: int


class _Line(NamedTuple):
    """One quantity: its label, and its range as shares of the actual value."""

    name: str
    low: float
    expected: float | None
    high: float | None


def estimate(
    estimate: Estimate, run: Run | Summary | None = None, *, currency: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw an estimate against the actual usage and cost.

    Parameters
    ----------
    estimate : Estimate
        The result of ``df.tsn.estimate(...)`` before the run.
    run : Run or Summary, optional
        The run. Default: by the ledger, the newest run that has sent the requests of the estimate, in this or another kernel.
    currency : str, optional
        For the amounts. Default: that of the estimate.
    ax : Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A line per quantity, from its lower to its upper estimate, in percent of the actual value. A line that crosses 100 %
        was right. An arrow is a range without an upper end.

    Raises
    ------
    ParameterError
        If there is no estimate, or no run of its requests has ended, or it is the sum of several runs and none is given.
    """
    if not isinstance(estimate, Estimate):
        raise ParameterError(f"an estimate is needed, as df.tsn.estimate returns one, got {quoted(estimate)}")
    found = _summary(run) if run is not None else _recorded_run(estimate) if estimate.to_send else None
    actual, currency = _actual(found), currency or estimate.currency
    ax = axes.axes(ax)
    lines = [line for name in _SHOWN if (line := _line(name, getattr(estimate, name), getattr(actual, name), currency))]
    if not lines:
        return axes.empty(ax, "Nothing was to be sent, or nothing was: there is nothing to compare.")
    highest = max(1.1, *(end for line in lines for end in (line.low, line.expected, line.high) if end is not None))
    for at, line in enumerate(lines):
        _draw(ax, at, line, 1.5 * highest)
    if highest > 10:
        ax.set_xscale("log")
    else:
        ax.set_xlim(left=0)
    axes.share_axis(ax.xaxis)
    ax.axvline(1.0, color=axes.REST, linewidth=1.5, zorder=0)
    ax.set_yticks(range(len(lines)), [line.name for line in lines], parse_math=False)
    ax.set_ylim(len(lines) - 0.5, -0.5)
    same = actual.sent == estimate.to_send
    note = "" if same else f"the estimate is of {plural(estimate.to_send, 'request')}, the run sent {actual.sent:,}"
    across = "estimate, in percent of the actual value"
    return axes.style(ax, "Estimate and actual value", note, across=across, up="", grid="x")


def _summary(run: Any) -> Summary:
    found = run.summary if isinstance(run, Run) else run
    if not isinstance(found, Summary):
        raise ParameterError(f"a run is needed, such as tsn.last_run(), got {quoted(run)}")
    return found


def _recorded_run(estimate: Estimate) -> RunRecord:
    """Return the newest run of an estimate's requests that has sent some; one that sent as many as were to be sent, if there is one."""
    if estimate._call is None:
        raise ParameterError("the estimate is the sum of several runs: give the run, such as run=tsn.last_run()")
    runs = runs_of_call(estimate._call.ledger, estimate._call.keys)
    ended = [record for record in runs if record.ended is not None and record.requests]
    if not ended:
        going = (
            "the run of its requests has not ended"
            if any(record.ended is None for record in runs)
            else "no run has sent its requests"
        )
        raise ParameterError(
            f"{going}, by {estimate._call.ledger.path}: make the call that was estimated, with the same rows and parameters, "
            "or give another run, such as run=tsn.last_run()"
        )
    return next((record for record in ended if _actual(record).sent == estimate.to_send), ended[0])


def _actual(run: Summary | RunRecord | None) -> _Actual:
    if run is None:
        return _Actual(0, 0, None, 0)
    cost = None if run.cost is None else float(run.cost)
    sent = (run.requests or 0) - (run.refused or 0) - (run.retried or 0)
    return _Actual(run.prompt_tokens or 0, run.completion_tokens or 0, cost, sent)


def _line(name: str, estimated: Range, actual: float | None, currency: str | None) -> _Line | None:
    """Return one quantity; None where it wasn't estimated, or is 0 or unknown."""
    if not actual or estimated.low is None:
        return None
    shown, unit = (money, f" {currency}" if currency else "") if name == "cost" else ("{:,.0f}".format, "")
    low, expected, high = (None if end is None else end / actual for end in estimated)
    assert low is not None
    to = " or more" if estimated.high is None else f" to {shown(estimated.high)}" if estimated.high > estimated.low else ""
    return _Line(
        f"{name.replace('_', ' ')}\nestimated {shown(estimated.low)}{to}{unit}\nactual {shown(actual)}{unit}", low, expected, high
    )


def _draw(ax: Axes, at: int, line: _Line, end: float) -> None:
    """Draw one quantity; an arrow to ``end`` where nothing bounds it."""
    colour, high = axes.COLOURS[0], end if line.high is None else line.high
    ax.plot([line.low, high], [at, at], color=colour, linewidth=3, solid_capstyle="butt")
    ends = [(line.low, "|"), (high, "|" if line.high is not None else ">"), (line.expected, "o")]
    for place, marker in ends:
        if place is not None:
            ax.plot(place, at, marker, color=colour, markersize=10 if marker == "|" else 8, markeredgewidth=2)
