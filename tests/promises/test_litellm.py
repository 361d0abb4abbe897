"""A frame and a chat through a real LiteLLM proxy, with the simulator as the model behind it; skipped where there is none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import httpx
import pandas as pd
import pytest
from support.ports import free_port

import tsn_frames as tsn
from tsn_frames.simulator import Simulator

PROGRAM = shutil.which("litellm")
START_SECONDS = 180.0
KEY = "sk-proxy-0123456789"
CONFIG = """
model_list:
  - model_name: sim-small
    litellm_params: {{model: openai/sim-small, api_base: "{url}", api_key: any}}
  - model_name: sim-gone
    litellm_params: {{model: openai/sim-gone, api_base: "{url}", api_key: any}}
general_settings: {{master_key: {key}}}
litellm_settings: {{num_retries: 0, telemetry: false}}
router_settings: {{num_retries: 0, disable_cooldowns: true}}
"""

pytestmark = [
    pytest.mark.model,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PROGRAM is None, reason="no LiteLLM proxy: pip install 'litellm[proxy]'"),
]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """The proxy's address and the simulator behind it."""
    folder = tmp_path_factory.mktemp("litellm")
    with Simulator(latency=0.0) as sim:
        (folder / "config.yaml").write_text(CONFIG.format(url=sim.base_url, key=KEY))
        process, url = _start(folder)
        try:
            yield url, sim
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _start(folder, tries=3):
    """Start the proxy on a free port; again where it ends, as another program may take the port before it does."""
    port = str(free_port())
    command = [PROGRAM, "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", port]
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    for _ in range(int(START_SECONDS)):
        if process.poll() is not None:
            assert tries > 1, f"the proxy ended: {(folder / 'log').read_text()[-2000:]}"
            return _start(folder, tries - 1)
        try:
            if httpx.get(f"{url}/health/liveliness", trust_env=False).status_code == 200:
                return process, url
        except httpx.HTTPError:
            pass
        time.sleep(1.0)
    os.killpg(process.pid, signal.SIGTERM)
    raise TimeoutError((folder / "log").read_text()[-2000:])


def client_of(url, tmp_path, model="sim-small", key=KEY):
    prices = {"sim-small": (1.0, 2.0)}
    return tsn.Client(url, model=model, api_key=key, cache=tmp_path / "c", ledger=tmp_path / "l.db", prices=prices, timeout=60)


@pytest.mark.parametrize("stream", [False, True])
def test_rows_are_answered_and_counted_as_at_the_service_behind_it(proxy, tmp_path, stream):
    url, sim = proxy
    sim.reset_stats()
    df = pd.DataFrame({"t": [f"Tell me about number {number}" for number in range(20)]})
    out = df.tsn.complete("{t}", client=client_of(url, tmp_path), stream=stream, progress=False)
    stats = sim.stats()
    assert out["error"].isna().all() and out["content"].str.startswith("[simulated]").all()
    assert stats.answers == 20 and out["total_tokens"].sum() == stats.billed_prompt_tokens + stats.billed_completion_tokens


def test_a_chat_streams(proxy, tmp_path):
    chat = tsn.Chat(client_of(proxy[0], tmp_path))
    chat.send("Is tea good?")
    turn = chat.to_frame().iloc[-1]
    assert turn["state"] == "whole" and turn["content"].startswith("[simulated]") and turn["total_tokens"] > 0


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ({"key": "sk-wrong-0123456789"}, tsn.errors.AuthenticationError),
        ({"model": "unknown"}, tsn.errors.ModelError),
        ({"model": "sim-gone"}, tsn.errors.ModelError),
    ],
)
def test_a_refused_key_or_model_ends_the_run_after_a_handful_of_requests(proxy, tmp_path, words, kind):
    df = pd.DataFrame({"t": [f"row {number}" for number in range(60)]})
    with pytest.raises(kind):
        df.tsn.complete("{t}", client=client_of(proxy[0], tmp_path, **words), progress=False)
    assert tsn.last_run().summary.requests <= 10
