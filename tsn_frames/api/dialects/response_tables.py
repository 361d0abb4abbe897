"""The dialects of compatible services: a table from what an answer may say to what the API means by it.

Each entry names the services that send it and a public report of it, as ``repository#number``, or ``docs`` where the
service documents it. The tables are data; the modules beside it read them. What errors say is in ``error_tables``.
``tests/promises/test_dialects.py`` sends the entries from a real server.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Ending = Literal["cut_off", "filtered", "failed"]


class Seen(NamedTuple):
    """Who sends an entry, and where that is on record."""

    services: str
    report: str


# Where the usage of an answer or of a chunk is: the first place that counts something.
USAGE: dict[tuple[str | int, ...], Seen] = {
    ("usage",): Seen("OpenAI and nearly all others", "docs"),
    ("x_groq", "usage"): Seen("Groq, last chunk of a stream", "vercel/ai#1651"),
    ("choices", 0, "usage"): Seen("Kimi, last chunk of a stream", "earendil-works/pi#2017"),
    ("choices", 0, "delta", "usage"): Seen("gateways in front of Kimi", "earendil-works/pi#2017"),
    ("choices", 0, "message", "usage"): Seen("gateways in front of Kimi", "earendil-works/pi#2017"),
    ("message", "usage"): Seen("gateways in front of Anthropic, first event of a stream", "BerriAI/litellm#40864"),
    ("response", "usage"): Seen("gateways in front of the Responses API", "docs"),
    ("usageMetadata",): Seen("gateways in front of Gemini", "google/generative-ai-docs#235"),
    ("usage_metadata",): Seen("gateways in front of Gemini", "docs"),
    ("token_usage",): Seen("gateways", "docs"),
    ("meta", "billed_units"): Seen("Cohere", "docs"),
}

# What a usage calls its counts; compared without case and punctuation, so that ``inputTokens`` is ``input_tokens``.
PROMPT: dict[str, Seen] = {
    "prompt_tokens": Seen("OpenAI and nearly all others", "docs"),
    "input_tokens": Seen("DashScope, gateways in front of Anthropic", "QuantumNous/new-api#1545"),
    "prompt_token_count": Seen("gateways in front of Gemini", "google/generative-ai-docs#235"),
    "input_token_count": Seen("Bedrock", "docs"),
    "prompt_eval_count": Seen("Ollama's own API, beside the answer", "docs"),
}
COMPLETION: dict[str, Seen] = {
    "completion_tokens": Seen("OpenAI and nearly all others", "docs"),
    "output_tokens": Seen("DashScope, gateways in front of Anthropic", "QuantumNous/new-api#1545"),
    "candidates_token_count": Seen("gateways in front of Gemini", "docs"),
    "output_token_count": Seen("Bedrock", "docs"),
    "eval_count": Seen("Ollama, beside the answer", "docs"),
}
TOTAL: dict[str, Seen] = {
    "total_tokens": Seen("OpenAI and nearly all others", "docs"),
    "total_token_count": Seen("gateways in front of Gemini", "docs"),
}
# Reasoning that is counted beside the completion.
THOUGHTS: dict[str, Seen] = {"thoughts_token_count": Seen("gateways in front of Gemini", "docs")}
# Where a usage says how much of the prompt was cached.
CACHED: dict[tuple[str, ...], Seen] = {
    ("prompt_tokens_details", "cached_tokens"): Seen("OpenAI, xAI, Gemini, OpenRouter, vLLM", "docs"),
    ("prompt_cache_hit_tokens",): Seen("DeepSeek", "docs"),
    ("cached_tokens",): Seen("Kimi", "earendil-works/pi#8075"),
    ("input_tokens_details", "cached_tokens"): Seen("gateways in front of the Responses API", "docs"),
    ("num_cached_tokens",): Seen("Mistral", "docs"),
    ("cache_read_input_tokens",): Seen("LiteLLM in front of Anthropic", "Arize-ai/openinference#1183"),
    ("cached_content_token_count",): Seen("gateways in front of Gemini", "docs"),
}
# Parts of the prompt that Anthropic counts beside ``input_tokens``.
BESIDE_PROMPT: dict[str, Seen] = {
    "cache_read_input_tokens": Seen("gateways in front of Anthropic", "future-agi/future-agi#1122"),
    "cache_creation_input_tokens": Seen("gateways in front of Anthropic", "future-agi/future-agi#1122"),
}

# Fields that may hold the answer.
WRAPPED: dict[str, Seen] = {
    "data": Seen("gateways that answer with a code and a message", "docs"),
    "result": Seen("Cloudflare", "docs"),
    "output": Seen("DashScope's own API", "docs"),
    "response": Seen("gateways in front of batches", "docs"),
}

# What a message or a delta calls the model's reasoning.
REASONING: dict[str, Seen] = {
    "reasoning_content": Seen("DeepSeek, Kimi, GLM, DashScope, SGLang, LiteLLM", "docs"),
    "reasoning": Seen("vLLM since 0.17, Ollama, OpenRouter, Groq, Together", "vllm-project/vllm#27755"),
    "thinking": Seen("gateways in front of Anthropic", "open-webui/open-webui#11988"),
    "reasoning_details": Seen("OpenRouter, MiniMax", "langgenius/dify-official-plugins#2740"),
    "thinking_blocks": Seen("LiteLLM in front of Anthropic", "docs"),
    "reasoning_text": Seen("GitHub Copilot", "BerriAI/litellm#35021"),
}

# Where a list of models is, where it is not the whole body, and what it calls a model's name.
MODEL_LISTS: dict[str, Seen] = {
    "data": Seen("OpenAI and nearly all others", "docs"),
    "models": Seen("Ollama, Gemini, GitHub Models", "docs"),
    "result": Seen("Cloudflare", "docs"),
}
MODEL_NAMES: dict[str, Seen] = {
    "id": Seen("OpenAI and nearly all others; Together in a bare list", "maximhq/bifrost#6711"),
    "model": Seen("Ollama", "docs"),
    "name": Seen("Gemini, GitHub Models", "spiceai/spiceai#4624"),
    "key": Seen("LM Studio's own list", "abdulmominsakib/localmind#11"),
}

# What finish_reason or native_finish_reason says, in lower case, where it is neither "stop" nor a call of a tool.
FINISH: dict[str, tuple[Ending, Seen]] = {
    "length": ("cut_off", Seen("OpenAI and nearly all others", "docs")),
    "max_tokens": ("cut_off", Seen("Gemini, gateways in front of Anthropic", "mozilla-ai/any-llm#1200")),
    "max_output_tokens": ("cut_off", Seen("gateways in front of the Responses API", "docs")),
    "model_length": ("cut_off", Seen("Mistral", "docs")),
    "model_context_window_exceeded": ("cut_off", Seen("GLM, Anthropic", "earendil-works/pi#1868")),
    "content_filter": ("filtered", Seen("OpenAI, Azure", "docs")),
    "content_filtered": ("filtered", Seen("Bedrock", "docs")),
    "guardrail_intervened": ("filtered", Seen("Bedrock", "docs")),
    "sensitive": ("filtered", Seen("GLM", "anomalyco/opencode#18813")),
    "refusal": ("filtered", Seen("Anthropic", "docs")),
    "safety": ("filtered", Seen("Gemini", "MacPaw/OpenAI#312")),
    "recitation": ("filtered", Seen("Gemini", "MacPaw/OpenAI#312")),
    "prohibited_content": ("filtered", Seen("Gemini", "googleapis/python-genai#811")),
    "blocklist": ("filtered", Seen("Gemini", "MacPaw/OpenAI#312")),
    "spii": ("filtered", Seen("Gemini", "MacPaw/OpenAI#312")),
    "error": ("failed", Seen("OpenRouter, Together", "maximhq/bifrost#5425")),
    "network_error": ("failed", Seen("GLM", "genkit-ai/genkit#6259")),
    "insufficient_system_resource": ("failed", Seen("DeepSeek", "genkit-ai/genkit#6259")),
    "abort": ("failed", Seen("vLLM, SGLang", "sgl-project/sglang#3912")),
}

# What finish_reason says of an answer that ended well, in lower case. An empty answer with a reason that is in neither
# table is not an answer: Gemini's OTHER and LANGUAGE (BerriAI/litellm#40477), Ollama's load (can1357/oh-my-pi#7465), an
# "unknown" of a gateway. Nor is one without a token (ollama/ollama#13371).
FINISHED: dict[str, Seen] = {
    "stop": Seen("OpenAI and nearly all others", "docs"),
    "tool_calls": Seen("OpenAI and nearly all others", "docs"),
    "function_call": Seen("OpenAI, in the form before tool_calls", "docs"),
    "tool_use": Seen("gateways in front of Anthropic", "docs"),
    "end_turn": Seen("gateways in front of Anthropic", "docs"),
    "stop_sequence": Seen("gateways in front of Anthropic", "docs"),
    "eos": Seen("Together", "docs"),
    "eos_token": Seen("Hugging Face TGI", "docs"),
    "complete": Seen("Cohere", "docs"),
    "completed": Seen("gateways in front of the Responses API", "docs"),
}

_PUNCTUATION = re.compile(r"[^0-9a-z]+")


def plain(name: str) -> str:
    """Return a name without case and punctuation.

    >>> plain("inputTokens") == plain("input_tokens")
    True
    """
    return _PUNCTUATION.sub("", name.lower())


# Parts of reasons that are not listed: services add new ones, such as Gemini's IMAGE_SAFETY or Cohere's ERROR_TOXIC.
_ENDING_PARTS: tuple[tuple[Ending, str], ...] = (
    ("filtered", r"safety|filter|moderat|violat|prohibited|blocklist|blocked|sensitive|recitation|toxic|spii|guardrail|refusal"),
    ("failed", r"error|malformed|exception|fail|cancel|abort|interrupt|time.?out|insufficient"),
    ("cut_off", r"length|max.?(new.?)?tokens|limit|truncat|incomplete"),
)

_ENDED = re.compile(f"{'|'.join(FINISHED)}|finished|^end$")


def ending(reason: str | None) -> Ending | None:
    """Return how an answer ended by its finish_reason, None where it ended well; reasons that aren't listed go by their words.

    >>> ending("MAX_TOKENS"), ending("sensitive"), ending("stop")
    ('cut_off', 'filtered', None)
    """
    if not reason or reason == "stop":
        return None
    word = reason.lower()
    if word in FINISH:
        return FINISH[word][0]
    if word in FINISHED:
        return None
    return next((kind for kind, parts in _ENDING_PARTS if re.search(parts, word)), None)


def ends_an_answer(reason: str | None) -> bool:
    """Return whether a finish_reason may end an answer without a text: the model stopped, or was stopped.

    Together names the token that ended it, such as ``<|eot_id|>``.

    >>> ends_an_answer("STOP"), ends_an_answer("max_tokens"), ends_an_answer("OTHER"), ends_an_answer(None)
    (True, True, False, False)
    """
    return reason is not None and (reason.startswith("<") or bool(_ENDED.search(reason.lower())) or ending(reason) is not None)
