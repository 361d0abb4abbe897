"""A sandbox: the simulator as the default client, and sample data."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd

from .default_client import set_client
from .engine.runtime.client import Client
from .engine.runtime.process import process_state
from .pricing.price_table import Prices, prices_of

if TYPE_CHECKING:
    from .simulator import Simulator

GOLD = ("topic", "sentiment", "urgent")
ACCURACY = 0.8  # of a simulated label, where the sample data has the gold label of a text
_TEXT = re.compile(r"^--- text (\w+) ---\n(.*)\n--- end \1 ---$", re.DOTALL | re.MULTILINE)
_LABEL = re.compile(r"^ *- (.+?)(?:: .*)?$", re.MULTILINE)
PRICES = {"sim-small": (0.25, 1.00), "sim-large": (2.50, 10.00), "sim-reasoner": (0.60, 2.40)}


def simulate(*, seed: int = 0, latency: float = 0.05, prices: Prices | Mapping[str, Any] | None = None) -> Simulator:
    """Start the local simulator and make it the default client, so that every example runs without a key or a cost.

    Its answers are marked as simulated. Asked to label a text of :func:`sample_messages`, it gives the gold label with a chance of
    80 %. Cache and ledger are temporary; ``close()`` removes all of them.

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
    simulator = SandboxSimulator(seed=seed, latency=latency, answer=_gold_answers()).start()
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


def _gold_answers() -> Callable[[dict[str, Any]], str | None]:
    """Return a function that answers labelling requests about the sample data: mostly right, by a hash of the request."""
    rows = sample_messages()
    gold = {text: values for text, *values in zip(rows["text"], *(rows[name].astype(str) for name in GOLD), strict=True)}

    def answer(body: dict[str, Any]) -> str | None:
        contents = [str(message["content"]) for message in body["messages"]]
        texts = [found[2] for content in contents if (found := _TEXT.search(content))]
        labels = _LABEL.findall(contents[0])
        right = next((label for label in gold.get(texts[-1], ()) if label in labels), None) if texts else None
        if right is None:
            return None
        drawn = int.from_bytes(sha256(json.dumps(body, sort_keys=True).encode()).digest()[:8], "big") / 2**64
        wrong = [label for label in labels if label != right] or labels
        label: str = right if drawn < ACCURACY else wrong[int(drawn * 1000) % len(wrong)]
        form = body.get("response_format")
        if form is None:
            return label
        schema = form.get("json_schema", {}).get("schema", {"properties": {"label": {}}})
        return json.dumps(_filled(schema, label, texts[-1]), ensure_ascii=False)

    return answer


def _filled(schema: Mapping[str, Any], label: str, text: str) -> dict[str, Any]:
    """Return an object with all keys of a schema: the label, its explanation, and a decision on every other key."""
    known = {"label": label, "explanation": f"[simulated] It sounds like {label}.", "evidence": " ".join(text.split()[:4])}
    return {
        key: _filled(inner, label, text) if "properties" in inner else known.get(key, key == label)
        for key, inner in schema["properties"].items()
    }
