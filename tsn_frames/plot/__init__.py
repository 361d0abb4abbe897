"""Pictures of what was spent, as matplotlib Axes: ``tsn.plot.spending()`` and the others. They need the extra ``plot``."""

from .foretold import estimate
from .models import compare
from .over_time import spending
from .per_row import costs

__all__ = ["compare", "costs", "estimate", "spending"]
