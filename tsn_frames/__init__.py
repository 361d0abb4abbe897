"""Language models over pandas frames: a row becomes a request, and the same request is never paid for twice."""

from typing import TYPE_CHECKING, Any

from . import accessor as _accessor  # registers df.tsn
from . import plot as plot  # tsn.plot
from .engine.cache import Cache
from .engine.client import Client
from .engine.ledger import Ledger
from .engine.limits import Limits
from .engine.retry import Retry
from .errors import (
    AuthenticationError,
    BalanceError,
    BudgetExceeded,
    CacheError,
    ColumnError,
    ConfigError,
    ModelError,
    ParameterError,
    PromptError,
    RateLimitError,
    RedirectError,
    RunError,
    ServerError,
    TSNError,
    TSNWarning,
)
from .prices import Prices
from .rehearsal import rehearse, sample_messages
from .settings import get_client, set_client, set_key
from .verbs.compare import compare
from .verbs.comparison import Comparison
from .verbs.complete import complete
from .verbs.estimate import estimate
from .verbs.file import complete_file
from .verbs.foretold import Estimate
from .verbs.history import runs
from .verbs.job import FileSummary
from .verbs.running import Run, last_run
from .verbs.summary import Summary
from .verbs.tables import Report

if TYPE_CHECKING:
    from .widget.chat import Chat

__version__ = "0.1.0"

__all__ = [
    "AuthenticationError",
    "BalanceError",
    "BudgetExceeded",
    "Cache",
    "CacheError",
    "Chat",
    "Client",
    "ColumnError",
    "Comparison",
    "ConfigError",
    "Estimate",
    "FileSummary",
    "Ledger",
    "Limits",
    "ModelError",
    "ParameterError",
    "Prices",
    "PromptError",
    "RateLimitError",
    "RedirectError",
    "Report",
    "Retry",
    "Run",
    "RunError",
    "ServerError",
    "Summary",
    "TSNError",
    "TSNWarning",
    "compare",
    "complete",
    "complete_file",
    "estimate",
    "get_client",
    "last_run",
    "rehearse",
    "runs",
    "sample_messages",
    "set_client",
    "set_key",
]
del _accessor


def __getattr__(name: str) -> Any:
    """Import what needs the notebook's libraries when it is asked for."""
    if name == "Chat":
        from .widget.chat import Chat

        return Chat
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
