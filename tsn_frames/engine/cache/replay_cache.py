"""The cache of an archive: a client with it answers from there and sends nothing."""

from __future__ import annotations

from ...errors import ParameterError
from .cache import Cache, CacheMode


class ReplayCache(Cache):
    """Answers of an archive. Each call is as with ``cache="only"``.

    >>> ReplayCache("folder").mode("use")
    'only'
    """

    sends = False
    miss = (
        "the archive has no answer to this request: the row, the prompt, a parameter, the model or the version of tsn_frames is not that of "
        "the archived call, or the service gave no answer then"
    )
    miss_remedy = "df.tsn.estimate(...) with this client says what differs from the archived run"

    def mode(self, wanted: CacheMode) -> CacheMode:
        """Return ``"only"``; refuse the modes that send."""
        if wanted not in ("use", "only"):
            raise ParameterError(
                f"cache={wanted!r} sends requests, and a client of an archive sends none: leave cache= out, or give another client"
            )
        return "only"
