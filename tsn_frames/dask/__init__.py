"""``ddf.tsn``: the verbs over frames of Dask, with one account's limits and one budget over all workers.

Importing it registers the accessor. Nothing else of the package imports it.
"""

from .accessor import DaskAccessor as DaskAccessor
from .merge_worker_caches import collect as collect
from .progress import Progress as Progress

__all__ = ["DaskAccessor", "Progress", "collect"]
