"""Answers that a test writes: the simulator gives them to the questions that they belong to."""

from __future__ import annotations

SCRIPT = {}


def answer(body):
    """Return what is scripted for the last question; else None, and the simulator answers as usual."""
    asked = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return SCRIPT.get(asked[-1]) if asked and isinstance(asked[-1], str) else None
