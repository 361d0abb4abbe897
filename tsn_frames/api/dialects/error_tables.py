"""The errors of compatible services: a table from their codes and words to what the API means by them."""

from __future__ import annotations

import re
from typing import Literal

from .response_tables import Seen, plain

Meaning = Literal["key", "balance", "model", "too_long", "filtered", "rate", "overloaded", "server"]

# What a code, a type or a status of an error names; compared without case and punctuation.
ERROR_CODES: dict[str, tuple[Meaning, Seen]] = {
    "invalid_api_key": ("key", Seen("OpenAI, DashScope", "docs")),
    "auth_error": ("key", Seen("TokenSuperNova, LiteLLM", "docs")),
    "authentication_error": ("key", Seen("DeepSeek, Anthropic", "docs")),
    "invalid_authentication_error": ("key", Seen("Kimi", "docs")),
    "incorrect_api_key_error": ("key", Seen("Kimi", "docs")),
    "api_key_invalid": ("key", Seen("Gemini", "continuedev/continue#10290")),
    "organization_restricted": ("key", Seen("Groq", "docs")),
    "unauthenticated": ("key", Seen("Gemini", "docs")),
    "no_db_connection": ("key", Seen("LiteLLM without a database, for an unknown key", "tests/promises/test_litellm.py")),
    "base_resp_1004": ("key", Seen("MiniMax", "docs")),
    "base_resp_2049": ("key", Seen("MiniMax", "docs")),
    "insufficient_balance": ("balance", Seen("TokenSuperNova, Venice", "veniceai/api-docs#149")),
    "insufficient_balance_error": ("balance", Seen("MiniMax behind ModelScope", "modelscope/modelscope#1691")),
    "insufficient_quota": ("balance", Seen("OpenAI", "docs")),
    "insufficient_credits": ("balance", Seen("gateways", "BerriAI/litellm#8448")),
    "insufficient_user_quota": ("balance", Seen("new-api", "docs")),
    "billing_error": ("balance", Seen("TokenSuperNova, Anthropic", "docs")),
    "billing_hard_limit_reached": ("balance", Seen("OpenAI", "docs")),
    "exceeded_current_quota_error": ("balance", Seen("Kimi", "MoonshotAI/Kimi-K2#5")),
    "credits_error": ("balance", Seen("OpenCode", "TiaraBasori/OpenCode2API#5")),
    "arrearage": ("balance", Seen("DashScope", "hsliuping/TradingAgents-CN#170")),
    "budget_exceeded": ("balance", Seen("LiteLLM", "docs")),
    "1113": ("balance", Seen("GLM", "zai-org/feedback#789")),
    "1308": ("balance", Seen("GLM, the plan's limit of some hours", "continuedev/continue#13195")),
    "1310": ("balance", Seen("GLM, the plan's limit of a week or a month", "docs")),
    "account_overdue_error": ("balance", Seen("Volcengine", "docs")),
    "allocation_quota_free_tier_only": ("balance", Seen("DashScope", "docs")),
    "base_resp_2056": ("balance", Seen("MiniMax, the plan's limit", "docs")),
    "base_resp_1008": ("balance", Seen("MiniMax", "MiniMax-AI/MiniMax-M2#62")),
    "model_not_found": ("model", Seen("OpenAI, Groq", "docs")),
    "model_not_available": ("model", Seen("Together", "HeyPuter/puter#3168")),
    "dedicated_endpoint_not_running": ("model", Seen("Together", "HeyPuter/puter#3168")),
    "invalid_model_id": ("model", Seen("gateways", "decolua/9router#1187")),
    "invalid_endpoint_or_model_not_found": ("model", Seen("Volcengine", "cloudwego/eino#107")),
    "model_not_supported": ("model", Seen("Hugging Face", "docs")),
    "model_decommissioned": ("model", Seen("Groq", "docs")),
    "invalid_model": ("model", Seen("Mistral", "docs")),
    "unknown_model": ("model", Seen("GitHub Models", "docs")),
    "deployment_not_found": ("model", Seen("Azure", "docs")),
    "1211": ("model", Seen("GLM", "docs")),
    "context_length_exceeded": ("too_long", Seen("OpenAI, Venice", "NousResearch/hermes-agent#68451")),
    "exceed_context_size_error": ("too_long", Seen("llama.cpp", "ggml-org/llama.cpp#16109")),
    "context_window_exceeded_error": ("too_long", Seen("LiteLLM", "docs")),
    "request_too_large": ("too_long", Seen("Anthropic", "docs")),
    "tokens_limit_reached": ("too_long", Seen("GitHub Models", "docs")),
    "1261": ("too_long", Seen("GLM", "docs")),
    "content_filter": ("filtered", Seen("Azure, Kimi", "MoonshotAI/kimi-cli#1002")),
    "content_policy_violation": ("filtered", Seen("OpenAI, LiteLLM", "docs")),
    "prohibited_content": ("filtered", Seen("Gemini, as promptFeedback.blockReason", "googleapis/python-genai#811")),
    "safety": ("filtered", Seen("Gemini, as promptFeedback.blockReason", "docs")),
    "blocklist": ("filtered", Seen("Gemini, as promptFeedback.blockReason", "docs")),
    "responsible_ai_policy_violation": ("filtered", Seen("Azure", "docs")),
    "data_inspection_failed": ("filtered", Seen("DashScope", "QwenLM/Qwen#938")),
    "1301": ("filtered", Seen("GLM", "docs")),
    "base_resp_1026": ("filtered", Seen("MiniMax", "docs")),
    "base_resp_1027": ("filtered", Seen("MiniMax", "docs")),
    "rate_limit_exceeded": ("rate", Seen("OpenAI, Groq, TokenSuperNova", "docs")),
    "rate_limit_error": ("rate", Seen("Anthropic, TokenSuperNova", "docs")),
    "rate_limit_reached_error": ("rate", Seen("Kimi", "docs")),
    "too_many_requests": ("rate", Seen("Azure, gateways", "docs")),
    "resource_exhausted": ("rate", Seen("Gemini", "n4ze3m/page-assist#406")),
    "limit_requests": ("rate", Seen("DashScope", "docs")),
    "1302": ("rate", Seen("GLM", "docs")),
    "1303": ("rate", Seen("GLM", "docs")),
    "base_resp_1002": ("rate", Seen("MiniMax", "docs")),
    "base_resp_1039": ("rate", Seen("MiniMax", "docs")),
    "throttling_exception": ("rate", Seen("Bedrock, behind gateways under a 400", "docs")),
    "capacity_exceeded": ("overloaded", Seen("Groq's flex tier, under a 498", "docs")),
    "1305": ("overloaded", Seen("GLM", "docs")),
    "overloaded_error": ("overloaded", Seen("Anthropic", "docs")),
    "engine_overloaded_error": ("overloaded", Seen("Kimi", "MoonshotAI/MoonshotAI-Cookbook#16")),
    "insufficient_system_resource": ("overloaded", Seen("DeepSeek", "genkit-ai/genkit#6259")),
    "service_tier_capacity_exceeded": ("overloaded", Seen("Mistral", "docs")),
    "service_unavailable": ("overloaded", Seen("gateways", "docs")),
    "unavailable": ("overloaded", Seen("Gemini", "docs")),
}

# What the words of an error say where no code does; the first that fits counts.
ERROR_WORDS: tuple[tuple[Meaning, str, Seen], ...] = (
    ("too_long", r"must be reduced|too large for", Seen("OpenAI, Groq, GitHub Models", "Aider-AI/aider#1880")),
    ("too_long", r"context ?(length|window|size|limit)|maximum context|context too long|reduce the length",
     Seen("vLLM, llama.cpp, OpenRouter, LiteLLM", "vllm-project/vllm#12886")),
    ("too_long", r"(prompt|input|request) (is |was )?too (long|large)|range of input length",
     Seen("Bedrock, SGLang, DashScope", "docs")),
    ("too_long", r"exceeds the maximum number of tokens", Seen("Gemini", "google-gemini/gemini-cli#6678")),
    ("too_long", r"longer than the (maximum )?model|max_tokens must be at least 1, got -", Seen("vLLM", "OpenBMB/MiniCPM-V#1048")),
    ("too_long", r"exceeded model token limit", Seen("Kimi", "MoonshotAI/kimi-cli#2011")),
    ("too_long", r"maximum prompt length", Seen("xAI", "cline/cline#3120")),
    ("too_long", r"must be less than max_seq_len", Seen("SiliconFlow", "langgenius/dify#19394")),
    ("balance", r"insufficient (\w+ )?(balance|credits?|funds|quota)|(balance|quota)\b.{0,40}(insufficient|too low|not enough)",
     Seen("DeepSeek, GLM, OpenRouter, SiliconFlow", "FoundationAgents/OpenManus#438")),
    ("balance", r"recharge|arrears|payment required|out of credits|more credits|credit balance|key limit exceeded|balance is \$?0\b|budget .{0,20}exceeded|exceeded .{0,20}budget",
     Seen("GLM, OpenRouter, Anthropic, LiteLLM", "vercel/ai#9290")),
    ("balance", r"used all available credits|spending (limit|cap)", Seen("xAI, Gemini", "continuedev/continue#10373")),
    ("balance", r"(reached|exceeded)\b.{0,40}usage limits?|usage limit (reached|exceeded)|payment is past due",
     Seen("Ollama's cloud, GLM, Anthropic", "continuedev/continue#11444")),
    ("balance", r"account\b.{0,80}(suspended|not active|overdue)", Seen("Kimi, Fireworks", "MoonshotAI/Kimi-K2#5")),
    ("balance", "余额不足|欠费|额度(不足|已用尽)", Seen("GLM, new-api", "QuantumNous/new-api#7448")),
    ("key", r"(invalid|incorrect|wrong|missing|expired|no) (api|access|auth\w*)[ _-]?(key|token|credential)",
     Seen("xAI, under a 400", "openai/codex#1352")),
    ("key", r"api[ _-]?key\b.{0,30}(invalid|incorrect|not valid|expired|not found|missing|revoked|leaked)|user not found",
     Seen("Gemini, OpenRouter", "continuedev/continue#10290")),
    ("key", r"unauthori[sz]ed|authentication (failed|fails|error)|invalid (bearer |proxy server )?token\b|location is not supported",
     Seen("Mistral, LiteLLM, Gemini, gateways", "docs")),
    ("key", "无效的令牌|令牌已过期|令牌状态不可用", Seen("new-api", "QuantumNous/new-api#3302")),
    ("model", r"(models?|deployment)\b.{0,120}(does not exist|doesn't exist|not found|not exist|decommissioned)",
     Seen("vLLM, Ollama, SiliconFlow, Gemini", "docs")),
    ("model", r"(unknown|invalid|no such|unsupported) (model|deployment)|no endpoints found|no available channel|模型不存在|无可用渠道",
     Seen("LiteLLM, OpenRouter, new-api", "docs")),
    ("model", r"not a valid model", Seen("OpenRouter", "OpenRouterTeam/openrouter-examples#74")),
    ("model", r"no models? (is |are )?loaded|unexpected endpoint|unable to access (non-serverless )?model",
     Seen("LM Studio, Together", "HeyPuter/puter#3168")),
    ("filtered", r"content (management )?policy|moderation|flagged|inappropriate content|sensitive content|unsafe or sensitive",
     Seen("Azure, OpenRouter, DashScope, GLM", "QwenLM/qwen-code#3145")),
    ("filtered", r"violates (our |the )?usage (guidelines|polic)", Seen("xAI, under a 403", "theopenco/llmgateway#1785")),
    ("filtered", r"considered high risk", Seen("Kimi", "MoonshotAI/kimi-cli#1002")),
    ("filtered", r"content audit", Seen("Spark", "docs")),
    ("rate", r"rate.?limit|too many requests|throttl", Seen("gateways, under a 200", "MemTensor/MemOS#1897")),
    ("overloaded", r"overloaded|at capacity|server is busy|temporarily unavailable|(is |currently )loading|^loading (the )?model|负载已饱和",
     Seen("Kimi, llama.cpp, Hugging Face, new-api", "MoonshotAI/MoonshotAI-Cookbook#16")),
)  # fmt: skip

# How services refuse a parameter that they don't know: Mistral, Azure (openai/openai-agents-python#442), gateways.
_USAGE_OPTION = re.compile(r"stream[_ ]?options?|include_usage", re.IGNORECASE)
_UNKNOWN_PARAMETER = re.compile(
    r"extra (inputs?|fields?|parameters?)|(unknown|unrecogni[sz]ed|unsupported|unexpected|additional|invalid) "
    r"(\w+ )?(field|parameter|propert|argument|option|key)|not (permitted|allowed|supported)|"
    r"parameters?\b.{0,60}(not valid|invalid|illegal)|"
    r"^(\d{3}: )?(no message|(bad|invalid|malformed) (request|argument|input)( body)?|validation (error|failed)|unprocessable.*)\.?$",
    re.IGNORECASE,
)

# The status that stands for a meaning where an error comes under a 200.
STATUS: dict[Meaning, int] = {
    "key": 401, "balance": 402, "model": 404, "too_long": 413, "filtered": 400, "rate": 429, "overloaded": 503, "server": 500,
}  # fmt: skip

_BY_WORDS = [(meaning, re.compile(pattern, re.IGNORECASE)) for meaning, pattern, _ in ERROR_WORDS]
_BY_CODE = {plain(code): meaning for code, (meaning, _) in ERROR_CODES.items()}


def meaning_of_code(code: str) -> Meaning | None:
    """Return what a code or a type of an error names.

    >>> meaning_of_code("InvalidApiKey"), meaning_of_code("1113"), meaning_of_code("invalid_request_error")
    ('key', 'balance', None)
    """
    return _BY_CODE.get(plain(code))


def meaning_of_words(message: str) -> Meaning | None:
    """Return what the words of an error say.

    >>> meaning_of_words("This model's maximum context length is 2048 tokens")
    'too_long'
    """
    return next((meaning for meaning, pattern in _BY_WORDS if pattern.search(message)), None)


def names_usage_option(message: str) -> bool:
    """Return whether an error names the option that asks for the usage of a stream."""
    return bool(_USAGE_OPTION.search(message))


def names_unknown_parameter(message: str) -> bool:
    """Return whether an error may be about a parameter that the service doesn't know: it says so, or says nothing.

    >>> names_unknown_parameter("body.x: Extra inputs are not permitted"), names_unknown_parameter("temperature must be below 2")
    (True, False)
    >>> names_unknown_parameter("400: Bad Request"), names_unknown_parameter("400: Bad Request: temperature must be below 2")
    (True, False)
    """
    return bool(_UNKNOWN_PARAMETER.search(message))
