"""Pictures of what was spent, as matplotlib Axes: ``tsn.plot.spending()`` and the others. They need the extra ``plot``."""

from .compare import compare
from .costs import costs
from .estimate import estimate
from .spending import spending

__all__ = ["compare", "costs", "estimate", "spending"]
