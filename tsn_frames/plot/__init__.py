"""Charts of spending, costs, estimates, comparisons and evaluations as matplotlib Axes. They need the extra ``plot``."""

from .compare import compare
from .cost_histogram import costs
from .estimate_vs_actual import estimate
from .metric_intervals import evaluation
from .spending import spending

__all__ = ["compare", "costs", "estimate", "evaluation", "spending"]
