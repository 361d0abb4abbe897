"""Answers that a test writes: the simulator says them for the questions that they belong to."""

from __future__ import annotations

from tsn_frames.simulator import chat_handler
from tsn_frames.simulator.answers import Answer, Choice
from tsn_frames.simulator.tokens import count_prompt, count_tokens

SCRIPT = {}
COMPOSE = chat_handler.compose


def compose(request, seed, key, cached):
    """Say what is scripted for this question; else what the simulator would."""
    said = SCRIPT.get(request.user)
    if said is None:
        return COMPOSE(request, seed, key, cached)
    prompt, completion = count_prompt(request.texts), count_tokens(said)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return Answer((Choice(said, "stop"),), prompt, completion, usage)
