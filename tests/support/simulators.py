"""Changes to a simulator while it serves."""

from __future__ import annotations

from dataclasses import replace

from tsn_frames.simulator import Simulator


def set_latency(sim: Simulator, seconds: float) -> None:
    """Let the answers to all later requests take so long, so that a run can't end before the test acts."""
    sim._app.settings = replace(sim._app.settings, latency=seconds)
