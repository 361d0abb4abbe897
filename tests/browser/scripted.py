"""Answers that a test scripts, by their questions; the simulator sends them."""

from __future__ import annotations

from tsn_frames.simulator import chat_handler
from tsn_frames.simulator.answers import Answer, Choice
from tsn_frames.simulator.tokens import count_prompt, count_tokens

SCRIPT = {}
COMPOSE = chat_handler.compose


def compose(request, seed, key, cached, answer=None):
    """Return the scripted answer to this question, else the simulator's."""
    text = SCRIPT.get(request.user)
    if text is None:
        return COMPOSE(request, seed, key, cached, answer)
    prompt, completion = count_prompt(request.texts), count_tokens(text)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return Answer((Choice(text, "stop"),), prompt, completion, usage)
