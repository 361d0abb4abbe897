"""Language models over pandas frames: a row becomes a request, and the same request is never paid for twice."""

from typing import TYPE_CHECKING, Any

from . import accessor as _accessor  # registers df.tsn
from . import errors as errors  # tsn.errors
from . import plot as plot  # tsn.plot
from .engine.cache.cache import Cache
from .engine.ledger.ledger import Ledger
from .engine.limits.limits import Limits
from .engine.retry import Retry
from .engine.runtime.client import Client
from .errors import RunError, TSNError
from .pricing.prices import Prices
from .sandbox import sample_messages, simulate
from .settings import get_client, set_client, set_key
from .verbs.call import estimate, start
from .verbs.compare.compare import compare
from .verbs.compare.result import Comparison
from .verbs.complete import complete
from .verbs.estimate.result import Estimate
from .verbs.files.complete_file import complete_file
from .verbs.files.parts import FileSummary
from .verbs.report.grouping import Report
from .verbs.run.run import Run, last_run
from .verbs.run.summary import Summary
from .verbs.runs import runs

if TYPE_CHECKING:
    from .widget.chat import Chat

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "Chat",
    "Client",
    "Comparison",
    "Estimate",
    "FileSummary",
    "Ledger",
    "Limits",
    "Prices",
    "Report",
    "Retry",
    "Run",
    "RunError",
    "Summary",
    "TSNError",
    "compare",
    "complete",
    "complete_file",
    "estimate",
    "get_client",
    "last_run",
    "runs",
    "sample_messages",
    "set_client",
    "set_key",
    "simulate",
    "start",
]
del _accessor
_REPLACED = {"rehearse": "simulate"}


if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Import what needs the notebook's libraries when it is asked for."""
        if name == "Chat":
            from .widget.chat import Chat

            return Chat
        if isinstance(getattr(errors, name, None), type):  # scripts may name any exception here; tsn.errors lists them
            return getattr(errors, name)
        hint = f"; it is tsn.{_REPLACED[name]}" if name in _REPLACED else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
