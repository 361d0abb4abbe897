"""The dialects of compatible services: how each writes an answer, the chunks of a stream, an error and a list of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

    from .validation import Json

DialectName = Literal[
    "openai", "azure", "dashscope", "deepseek", "gemini", "glm", "groq", "kimi", "llama.cpp", "minimax", "mistral", "ollama",
    "openrouter", "together", "vllm", "xai",
]  # fmt: skip
NAMES: tuple[DialectName, ...] = get_args(DialectName)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error before it is written: its status, message, type and code."""

    status: int
    message: str
    kind: str
    code: str | None


def _unchanged(body: Json) -> Json:
    return body


def _standard_error(failure: Failure) -> tuple[int, object]:
    return failure.status, {"error": {"message": failure.message, "type": failure.kind, "code": failure.code}}


def _data_list(listed: Json) -> object:
    return listed


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one service writes; the default is the form of the API itself."""

    answer: Callable[[Json], Json] = _unchanged
    chunks: Callable[[list[Json]], list[Json]] = list
    error: Callable[[Failure], tuple[int, object]] = _standard_error
    models: Callable[[Json], object] = _data_list


def _parts(body: Json) -> list[Json]:
    """Return the messages or deltas of an answer or a chunk."""
    return [choice.get("message", choice.get("delta", {})) for choice in body.get("choices", ())]


def _reasoning_as(name: str) -> Callable[[Json], Json]:
    def rename(body: Json) -> Json:
        for part in _parts(body):
            if "reasoning_content" in part:
                part[name] = part.pop("reasoning_content")
        return body

    return rename


def _finish_as(names: dict[str, str], native: dict[str, str] | None = None) -> Callable[[Json], Json]:
    def rename(body: Json) -> Json:
        for choice in body.get("choices", ()):
            reason = choice.get("finish_reason")
            choice["finish_reason"] = names.get(reason, reason)
            if native is not None:
                choice["native_finish_reason"] = native.get(reason, reason)
        return body

    return rename


def _each(*changes: Callable[[Json], Json]) -> Callable[[Json], Json]:
    def change(body: Json) -> Json:
        for one in changes:
            body = one(body)
        return body

    return change


def _chunks(change: Callable[[Json], Json]) -> Callable[[list[Json]], list[Json]]:
    return lambda chunks: [change(chunk) for chunk in chunks]


def _usage_into(place: Callable[[Json, Json], None]) -> Callable[[list[Json]], list[Json]]:
    """Move the usage chunk's usage into the chunk with the finish_reason."""

    def move(chunks: list[Json]) -> list[Json]:
        usage = next((chunk["usage"] for chunk in chunks if chunk.get("usage")), None)
        rest = [chunk for chunk in chunks if chunk.get("choices")]
        ends = [chunk for chunk in rest if chunk["choices"][0].get("finish_reason")]
        if usage is not None and ends:
            place(ends[-1], usage)
        return rest

    return move


def _groq_usage(chunk: Json, usage: Json) -> None:
    chunk["x_groq"] = {"id": "req_sim", "usage": usage}


def _kimi_usage(chunk: Json, usage: Json) -> None:
    chunk["choices"][0]["usage"] = usage


def _deepseek_usage(body: Json) -> Json:
    if usage := body.get("usage"):
        cached = usage.pop("prompt_tokens_details", {}).get("cached_tokens", 0)
        usage |= {"prompt_cache_hit_tokens": cached, "prompt_cache_miss_tokens": usage["prompt_tokens"] - cached}
    return body


def _flat_cached(body: Json) -> Json:
    if (usage := body.get("usage")) and "prompt_tokens_details" in usage:
        usage["cached_tokens"] = usage.pop("prompt_tokens_details")["cached_tokens"]
    return body


def _gemini_usage(body: Json) -> Json:
    """Count reasoning in the total alone, and leave completion_tokens out where nothing else was written."""
    if usage := body.get("usage"):
        thought = usage.pop("completion_tokens_details", {}).get("reasoning_tokens", 0)
        usage["completion_tokens"] -= thought
        if not usage["completion_tokens"]:
            del usage["completion_tokens"]
    return body


def _thinking_part(body: Json) -> Json:
    for part in _parts(body):
        if "reasoning_content" in part:
            thought = {"type": "thinking", "thinking": [{"type": "text", "text": part.pop("reasoning_content")}]}
            text = [{"type": "text", "text": part["content"]}] if part.get("content") else []
            part["content"] = [thought, *text]
    return body


def _repeated_message(chunks: list[Json]) -> list[Json]:
    """Add the whole message to the last chunk, as MiniMax does."""
    text = "".join(part.get("content") or "" for chunk in chunks for part in _parts(chunk))
    for chunk in chunks:
        if chunk.get("choices") and chunk["choices"][0].get("finish_reason"):
            chunk["choices"][0]["message"] = {"role": "assistant", "content": text}
    return chunks


def _openrouter_error(failure: Failure) -> tuple[int, object]:
    """Write an error of the provider under a 200, and its own words as raw."""
    if failure.status >= 500 or failure.status == 429:
        raw = {"raw": failure.message, "provider_name": "Simulated"}
        return 200, {"error": {"message": "Provider returned error", "code": failure.status, "metadata": raw}, "user_id": "sim"}
    return failure.status, {"error": {"message": failure.message, "code": failure.status}}


_MINIMAX = {401: 1004, 402: 1008, 429: 1002}
_GLM = {401: (401, "1000"), 402: (429, "1113"), 404: (400, "1211"), 429: (429, "1302")}
_GEMINI = {401: (400, "INVALID_ARGUMENT", "API_KEY_INVALID"), 429: (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")}


def _minimax_error(failure: Failure) -> tuple[int, object]:
    code = _MINIMAX.get(failure.status)
    status = 200 if code else failure.status
    return status, {"choices": None, "base_resp": {"status_code": code or 2013, "status_msg": failure.message}}


def _glm_error(failure: Failure) -> tuple[int, object]:
    status, code = _GLM.get(failure.status, (failure.status, "1210"))
    return status, {"error": {"code": code, "message": failure.message}}


def _gemini_error(failure: Failure) -> tuple[int, object]:
    status, name, reason = _GEMINI.get(failure.status, (failure.status, "UNAVAILABLE", "OTHER"))
    message = "API key not valid. Please pass a valid API key." if failure.status == 401 else failure.message
    return status, [{"error": {"code": status, "message": message, "status": name, "details": [{"reason": reason}]}}]


def _xai_error(failure: Failure) -> tuple[int, object]:
    words = f"Incorrect API key provided. {failure.message}" if failure.status == 401 else failure.message
    return 400 if failure.status == 401 else failure.status, {"code": "Client specified an invalid argument", "error": words}


def _dashscope_error(failure: Failure) -> tuple[int, object]:
    code = {402: "Arrearage", 401: "invalid_api_key", 429: "limit_requests"}.get(failure.status, failure.code)
    status = 400 if failure.status == 402 else failure.status
    return status, {"error": {"message": failure.message, "type": code, "code": code}, "request_id": "sim"}


def _flat_error(failure: Failure) -> tuple[int, object]:
    return failure.status, {"object": "error", "message": failure.message, "type": failure.kind, "code": failure.status}


def _text_error(failure: Failure) -> tuple[int, object]:
    return failure.status, {"error": failure.message}


def _llama_error(failure: Failure) -> tuple[int, object]:
    return failure.status, {"error": {"code": failure.status, "message": failure.message, "type": failure.kind}}


def _bare_list(listed: Json) -> object:
    return listed["data"]


_REASONING = _reasoning_as("reasoning")
_GEMINI_FINISH = _finish_as({"length": "MAX_TOKENS", "content_filter": "PROHIBITED_CONTENT"})
_OPENROUTER = _each(_REASONING, _finish_as({}, {"length": "MAX_TOKENS", "content_filter": "SAFETY"}))
_GLM_FINISH = _finish_as({"content_filter": "sensitive"})
DIALECTS: dict[DialectName, Dialect] = {
    "openai": Dialect(),
    "azure": Dialect(),
    "dashscope": Dialect(error=_dashscope_error),
    "deepseek": Dialect(_deepseek_usage, _chunks(_deepseek_usage)),
    "gemini": Dialect(_each(_gemini_usage, _GEMINI_FINISH), _chunks(_each(_gemini_usage, _GEMINI_FINISH)), _gemini_error),
    "glm": Dialect(_GLM_FINISH, _chunks(_GLM_FINISH), _glm_error),
    "groq": Dialect(_REASONING, lambda chunks: _usage_into(_groq_usage)(_chunks(_REASONING)(chunks))),
    "kimi": Dialect(_flat_cached, lambda chunks: _usage_into(_kimi_usage)(_chunks(_flat_cached)(chunks))),
    "llama.cpp": Dialect(error=_llama_error),
    "minimax": Dialect(_unchanged, _repeated_message, _minimax_error),
    "mistral": Dialect(_each(_thinking_part, _finish_as({"length": "model_length"})), _chunks(_thinking_part), _flat_error),
    "ollama": Dialect(_REASONING, _chunks(_REASONING), _text_error),
    "openrouter": Dialect(_OPENROUTER, _chunks(_OPENROUTER), _openrouter_error),
    "together": Dialect(_REASONING, _chunks(_REASONING), models=_bare_list),
    "vllm": Dialect(_REASONING, _chunks(_REASONING), _flat_error),
    "xai": Dialect(error=_xai_error),
}


def checked(name: Any) -> Dialect:
    """Return a dialect by its name; refuse an unknown one."""
    if name not in DIALECTS:
        raise ValueError(f"dialect is one of {', '.join(NAMES)}, not {name!r}")
    return DIALECTS[name]
