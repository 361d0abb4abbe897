"""A sandbox: the simulator as the default client, and sample data."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd

from .engine.runtime.client import Client
from .engine.runtime.process import process_state
from .pricing.prices import Prices, prices_of
from .settings import set_client

if TYPE_CHECKING:
    from .simulator import Simulator

PRICES = {"sim-small": (0.25, 1.00), "sim-large": (2.50, 10.00), "sim-reasoner": (0.60, 2.40)}


def simulate(*, seed: int = 0, latency: float = 0.05, prices: Prices | Mapping[str, Any] | None = None) -> Simulator:
    """Start the local simulator and make it the default client, so that every example runs without a key or a cost.

    Its answers are simulated and say so. Cache and ledger are temporary; ``close()`` removes all of them.

    Parameters
    ----------
    seed : int
        Other seeds give other answers.
    latency : float
        Seconds that an answer takes.
    prices : Prices or mapping, optional
        What the answers would cost, as ``Client(prices=...)`` takes it. Default: made-up prices of its three models.

    Returns
    -------
    Simulator
        ``.stats()`` counts its requests, ``.close()`` stops it.

    Examples
    --------
    >>> import pandas as pd, tsn_frames as tsn
    >>> sim = tsn.simulate(latency=0.0)
    >>> out = pd.DataFrame({"text": ["Hi"]}).tsn.complete("Answer politely: {text}")
    >>> sim.stats().requests
    1
    >>> sim.close()
    """
    from .simulator import Simulator

    table = prices_of(PRICES if prices is None else prices)  # checked before anything is started

    class SandboxSimulator(Simulator):
        """A simulator whose ``close`` also removes its client and its files."""

        def close(self) -> None:
            super().close()
            if process_state.client is client:
                set_client(None)
            folder.cleanup()

    folder = tempfile.TemporaryDirectory(prefix="tsn_sandbox_", ignore_cleanup_errors=True)
    simulator = SandboxSimulator(seed=seed, latency=latency).start()
    client = Client(simulator.base_url, model="sim-small", cache=folder.name, ledger=f"{folder.name}/ledger.db", prices=table)
    set_client(client)
    return simulator


def sample_messages() -> pd.DataFrame:
    """Return 160 messages of customers of an invented shop, in many languages, with gold labels.

    Returns
    -------
    DataFrame
        ``message_id``, ``received``, ``channel``, ``customer``, ``order value``, ``text``, ``language``, and the gold
        labels ``topic``, ``sentiment``, ``urgent``. Some texts are blank, twice there, or awkward on purpose.

    Examples
    --------
    >>> sample_messages().shape
    (160, 10)
    """
    with (files("tsn_frames") / "data" / "customer_messages.csv").open("rb") as file:
        return pd.read_csv(file, keep_default_na=False, na_values={"order value": [""]})
