"""Whether Dask calls a function on rows that it has made up, to find out the columns and dtypes of its result."""

from __future__ import annotations

import sys
import traceback

NO_META = (
    "Dask has called this on rows that it made up, to find out the columns of the result, and nothing is sent for those: "
    "give map_partitions(..., meta=...), or use ddf.tsn of `import tsn_frames.dask`"
)
_CALLERS = frozenset({"emulate", "_emulate"})  # of dask.dataframe, which run a user's function on made-up rows


def is_inferring_meta() -> bool:
    """Return whether a caller of this function is Dask's inference of ``meta``; without Dask it costs a look-up."""
    if "dask.dataframe" not in sys.modules:
        return False
    return any(
        frame.f_code.co_name in _CALLERS and frame.f_globals.get("__name__", "").startswith(("dask.dataframe", "dask_expr"))
        for frame, _ in traceback.walk_stack(sys._getframe(1))
    )
