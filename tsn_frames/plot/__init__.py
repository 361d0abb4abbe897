"""Charts of spending, costs, estimates, comparisons and evaluations as matplotlib Axes. They need the extra ``plot``."""

from .compare import compare
from .costs import costs
from .estimate import estimate
from .evaluation import evaluation
from .spending import spending

__all__ = ["compare", "costs", "estimate", "evaluation", "spending"]
