"""Frame of all runs, of all kernels, from the ledger's run records."""

from __future__ import annotations

import pandas as pd

from ..engine.ledger.frames import runs_frame
from ..engine.runtime.client import Client, client_or_default
from ..engine.runtime.simulator_detection import is_simulated


def runs(client: Client | None = None) -> pd.DataFrame:
    """Return the record of every run in the ledger, of all kernels: when, what, how many rows, what it cost.

    Parameters
    ----------
    client : Client, optional
        Whose ledger; default: the one of :func:`set_client`, else the environment's.

    Returns
    -------
    DataFrame
        A row a run, oldest first: ``run``, ``began``, ``ended`` (datetime64, in UTC without a zone), ``seconds``, ``verb``, ``host``,
        ``models``, ``tags`` (lists), ``end`` (``done``, ``stopped``, an error's name, or ``unfinished``: running, or killed), the counts
        of a :class:`Summary` and ``distinct_requests`` (Int64), ``cost``, ``saved`` (Float64), ``cost_known``, ``currency``;
        ``template_hash, system_hash, model_hash, base_url_hash, parameters_hash, rows_hash, keys_hash``: what is equal in
        two runs; ``texts``: the prompt's words with ``Client(keep_prompts=True)``, else None; ``simulated`` (boolean): whether the
        service was the simulator on this machine.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> df = pd.DataFrame({"text": ["Hi", "Hello", "Hi"]})
    >>> for system in ("Be short.", "Be kind."):
    ...     out = df.tsn.complete("Answer politely: {text}", system=system)
    >>> tsn.runs()[["rows", "requests", "end"]].to_dict("list")
    {'rows': [3, 3], 'requests': [2, 2], 'end': ['done', 'done']}
    >>> tsn.runs()[["rows_hash", "system_hash"]].nunique().to_dict()
    {'rows_hash': 1, 'system_hash': 2}
    >>> sim.close()
    """
    ledger = client_or_default(client).ledger
    frame = runs_frame(list(ledger.run_records()), ledger.entries())
    simulated = [is_simulated(host, models) for host, models in zip(frame["host"], frame["models"], strict=True)]
    return frame.assign(simulated=pd.array(simulated, dtype="boolean"))
