"""Statistics as pure functions of arrays and counts."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
