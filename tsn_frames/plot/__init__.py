"""Charts of spending, costs, estimates and comparisons as matplotlib Axes. They need the extra ``plot``."""

from .compare import compare
from .costs import costs
from .estimate import estimate
from .spending import spending

__all__ = ["compare", "costs", "estimate", "spending"]
