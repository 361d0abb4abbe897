"""Language models over pandas frames: a row becomes a request, and the same request is never paid for twice.

Importing the package registers ``df.tsn`` and imports nothing but pandas; everything else is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import errors as errors

if TYPE_CHECKING:
    from . import plot as plot
    from .accessor import FrameAccessor, SeriesAccessor
    from .default_client import get_client as get_client
    from .default_client import set_client as set_client
    from .default_client import set_key as set_key
    from .engine.cache.cache import Cache as Cache
    from .engine.ledger.ledger import Ledger as Ledger
    from .engine.limits.limits import Limits as Limits
    from .engine.retry import Retry as Retry
    from .engine.runtime.client import Client as Client
    from .errors import RunError as RunError
    from .errors import TSNError as TSNError
    from .pricing.price_table import Prices as Prices
    from .sandbox import sample_messages as sample_messages
    from .sandbox import simulate as simulate
    from .verbs.archive.archive import ArchiveSummary as ArchiveSummary
    from .verbs.archive.archive import archive as archive
    from .verbs.archive.load_archive import load_archive as load_archive
    from .verbs.compare.compare import compare as compare
    from .verbs.compare.result import Comparison as Comparison
    from .verbs.complete import complete as complete
    from .verbs.estimate.result import Estimate as Estimate
    from .verbs.evaluate.result import Evaluation as Evaluation
    from .verbs.extract.extract import extract as extract
    from .verbs.files.complete_file import complete_file as complete_file
    from .verbs.files.part_runner import FileSummary as FileSummary
    from .verbs.label.label import label as label
    from .verbs.label.to_labels import to_labels as to_labels
    from .verbs.paying_verb import estimate as estimate
    from .verbs.paying_verb import start as start
    from .verbs.report.excel import export_excel as export_excel
    from .verbs.report.grouping import Report as Report
    from .verbs.run.run_handle import Run as Run
    from .verbs.run.run_handle import last_run as last_run
    from .verbs.run.summary import Summary as Summary
    from .verbs.runs import runs as runs
    from .widget.chat import Chat as Chat
    from .widget.review.review import Review as Review

__version__ = "0.1.0"

_PLACES = {
    "ArchiveSummary": "verbs.archive.archive", "Cache": "engine.cache.cache", "Chat": "widget.chat", "Client": "engine.runtime.client", "Comparison": "verbs.compare.result",
    "Estimate": "verbs.estimate.result", "Evaluation": "verbs.evaluate.result", "FileSummary": "verbs.files.part_runner", "Ledger": "engine.ledger.ledger",
    "Limits": "engine.limits.limits", "Prices": "pricing.price_table", "Report": "verbs.report.grouping", "Retry": "engine.retry",
    "Review": "widget.review.review", "Run": "verbs.run.run_handle", "RunError": "errors", "Summary": "verbs.run.summary", "TSNError": "errors", "archive": "verbs.archive.archive",
    "compare": "verbs.compare.compare", "complete": "verbs.complete", "complete_file": "verbs.files.complete_file",
    "estimate": "verbs.paying_verb", "export_excel": "verbs.report.excel", "extract": "verbs.extract.extract", "get_client": "default_client", "label": "verbs.label.label", "last_run": "verbs.run.run_handle",
    "load_archive": "verbs.archive.load_archive",
    "runs": "verbs.runs", "sample_messages": "sandbox", "set_client": "default_client", "set_key": "default_client", "simulate": "sandbox",
    "start": "verbs.paying_verb", "to_labels": "verbs.label.to_labels",
}  # fmt: skip
__all__ = list(_PLACES)
__all__ += ["errors", "plot"]
__all__.sort()
_REPLACED = {"rehearse": "simulate"}


@pd.api.extensions.register_series_accessor("tsn")  # type: ignore[type-var]
@pd.api.extensions.register_dataframe_accessor("tsn")  # a function serves as well as a class
def _accessor(data: pd.DataFrame | pd.Series) -> "FrameAccessor | SeriesAccessor":
    from .accessor import FrameAccessor, SeriesAccessor

    return FrameAccessor(data) if isinstance(data, pd.DataFrame) else SeriesAccessor(data)


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        if name == "plot":
            return import_module(".plot", __name__)
        if name in _PLACES:
            found = globals()[name] = getattr(import_module(f".{_PLACES[name]}", __name__), name)
            return found
        if isinstance(getattr(errors, name, None), type):  # scripts may name any exception here; tsn.errors lists them
            return getattr(errors, name)
        hint = f"; it is tsn.{_REPLACED[name]}" if name in _REPLACED else ""
        if not hint and not name.startswith("_"):
            from .text import nearest

            hint = f"; did you mean {close!r}?" if (close := nearest(name, __all__)) else ""
        raise errors.UnknownNameError(f"module {__name__!r} has no attribute {name!r}{hint}")
