"""Each entry of the dialect table, sent by a real server on loopback, gives the right answer, error or count."""

from __future__ import annotations

import itertools
import json
import re

import pandas as pd
import pytest
from support.dialect_service import USAGE, DialectService, chunk, completion, event, plain, stream

import tsn_frames as tsn
from tsn_frames.api.dialects.error_tables import ERROR_CODES, ERROR_WORDS, meaning_of_words
from tsn_frames.api.dialects.response_tables import CACHED, COMPLETION, FINISH, PROMPT, REASONING, ending
from tsn_frames.api.dialects.response_tables import USAGE as USAGE_PLACES
from tsn_frames.api.streaming.stream_parser import StreamedReply
from tsn_frames.engine.retry import Retry, classify
from tsn_frames.engine.transport.http_types import HttpResponse
from tsn_frames.secret import Secret

pytestmark = pytest.mark.filterwarnings("ignore::tsn_frames.TSNWarning")
QUICK = Retry(attempts=3, backoff=0.001, backoff_max=0.002)
ENDS = {"key": tsn.errors.AuthenticationError, "balance": tsn.errors.BalanceError, "model": tsn.errors.ModelError}


@pytest.fixture
def ask(tmp_path):
    """Ask a service that answers by a function, or always with the same; return frame, service and the run's error."""
    caches = (tmp_path / f"cache {number}" for number in itertools.count())  # a service may get the port of an earlier one

    def asked(respond, rows=1, again=False, **words):
        respond = respond if callable(respond) else lambda body, number, answer=respond: answer
        with DialectService(respond) as service:
            client = tsn.Client(
                service.url, model="m", cache=next(caches), ledger=tmp_path / "l.db", retry=QUICK, prices={"m": (1.0, 10.0)}
            )
            df = pd.DataFrame({"t": [f"row {number}" for number in range(rows)]})
            try:
                if again:
                    df.tsn.complete("{t}", client=client, progress=False, **words)
                return df.tsn.complete("{t}", client=client, progress=False, **words), service, None
            except tsn.errors.RunError as error:
                return error.partial, service, error

    return asked


@pytest.fixture
def chat(tmp_path):
    """Ask a service in a chat; return its last turn, the service and the error."""

    def asked(respond, **words):
        respond = respond if callable(respond) else lambda body, number, answer=respond: answer
        with DialectService(respond) as service:
            client = tsn.Client(service.url, model="m", cache=tmp_path / "chat", ledger=tmp_path / "chat.db", retry=QUICK)
            talk, error = tsn.Chat(client, **words), None
            try:
                talk.send("Hi")
            except tsn.TSNError as problem:
                error = problem
            return talk.to_frame().iloc[-1], service, error

    return asked


def put(path, value):
    """Put a value at a path of dicts and lists of one item."""
    for step in reversed(path):
        value = [value] if step == 0 else {step: value}
    return value


# Usage


@pytest.mark.parametrize("path", USAGE_PLACES, ids=lambda path: ".".join(map(str, path)))
def test_usage_is_found_wherever_a_service_has_it(chat, path):
    last = chunk(None, "stop")
    if path[0] == "choices":
        last["choices"][0] |= put(path[2:], USAGE)
    else:
        last |= put(path, USAGE)
    turn, _, _ = chat(stream(chunk("Hi"), last))
    assert (turn["content"], turn["total_tokens"]) == ("Hi", 120)


def by_row(answers):
    """Answer each row of ``ask`` with one of several answers."""
    return lambda body, _: answers[int(body["messages"][-1]["content"].removeprefix("row "))]


def test_counts_are_read_under_each_name_and_in_each_form(ask):
    usages = [{p: write(100), c: write(20)} for p in PROMPT for c in COMPLETION for write in (int, float, str)]
    out, _, _ = ask(by_row([plain(completion(usage=usage)) for usage in usages]), rows=len(usages))
    for name, count in (("prompt_tokens", 100), ("completion_tokens", 20), ("total_tokens", 120)):
        assert out[name].tolist() == [count] * len(usages)
    assert out["cost"].tolist() == pytest.approx([0.0003] * len(usages))


def test_cached_tokens_are_found_wherever_a_service_has_them(ask):
    usages = [USAGE | {"prompt_tokens_details": {}} | put(path, 64) for path in CACHED]
    out, _, _ = ask(by_row([plain(completion(usage=usage)) for usage in usages]), rows=len(usages), include=["cached_tokens"])
    assert out["cached_tokens"].tolist() == [64] * len(usages)


@pytest.mark.parametrize(
    ("usage", "counts", "cost"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, [None, None, None], None),
        ({"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20}, [None, 20, None], None),
        ({"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}, [100, None, None], None),
        ({"prompt_tokens": 9, "total_tokens": 1033}, [9, 1024, 1033], 0.010249),
        ({"prompt_tokens": 100, "completion_tokens": 20}, [100, 20, 120], 0.0003),
        ({}, [None, None, None], None),
        (None, [None, None, None], None),
    ],
    ids=str,
)
def test_what_a_service_does_not_count_is_unknown_and_never_0(ask, usage, counts, cost):
    out, _, _ = ask(plain(completion("a real answer", usage=usage)))
    found = out.loc[0, ["prompt_tokens", "completion_tokens", "total_tokens"]]
    assert [None if pd.isna(value) else value for value in found] == counts
    assert pd.isna(out["cost"][0]) if cost is None else out["cost"][0] == pytest.approx(cost)


# What the answer says


FORMS = (str, lambda text: [{"type": "thinking", "thinking": text}])


def test_reasoning_is_read_under_each_name(ask):
    answers = [completion("4", **{name: form("2 + 2")}) for name in REASONING for form in FORMS]
    out, _, _ = ask(by_row(list(map(plain, answers))), rows=len(answers), include=["reasoning"])
    assert out["reasoning"].tolist() == ["2 + 2"] * len(answers) and out["content"].tolist() == ["4"] * len(answers)


@pytest.mark.parametrize("form", FORMS, ids=["text", "list"])
def test_reasoning_is_read_under_each_name_in_a_stream(form):
    for name in REASONING:
        reply = StreamedReply()
        for part in ({name: form("2 +")}, {name: form(" 2")}, {"content": "4"}):
            reply.feed(event(chunk(**part)))
        assert (reply.text, reply.reasoning) == ("4", "2 + 2"), name


REASONS = [
    (field, write(reason))
    for reason in FINISH
    for field in ("finish_reason", "native_finish_reason")
    for write in (str.lower, str.upper)
]


def test_each_reason_for_an_end_has_its_meaning(ask):
    seen = set()

    def respond(body, _):
        row = body["messages"][-1]["content"]
        field, reason = REASONS[int(row.removeprefix("row "))]
        again = row in seen and FINISH[reason.lower()][0] == "failed"
        seen.add(row)
        return plain(completion("whole") if again else completion("Half an ans", choice={field: reason}))

    out, service, _ = ask(respond, rows=len(REASONS))
    failed = [FINISH[reason.lower()][0] == "failed" for _, reason in REASONS]
    assert out["content"].tolist() == ["whole" if bad else "Half an ans" for bad in failed]
    assert service.requests == len(REASONS) + sum(failed)
    kept = [reason for (_, reason), bad in zip(REASONS, failed, strict=True) if not bad]
    assert out.loc[[not bad for bad in failed], "finish_reason"].tolist() == kept


@pytest.mark.parametrize("reason", FINISH)
def test_each_reason_for_an_end_has_its_meaning_in_a_stream(chat, reason):
    turn, service, _ = chat(stream(chunk("Half an ans"), chunk(None, reason, USAGE)))
    assert turn["state"] == ("failed" if FINISH[reason][0] == "failed" else "whole")
    assert (turn["content"], service.requests) == ("Half an ans", 1)


@pytest.mark.filterwarnings("default::tsn_frames.TSNWarning")
@pytest.mark.parametrize(
    ("answer", "warned"),
    [
        (completion("Half", "MAX_TOKENS"), "1 answer cut off"),
        (completion("Half", "sensitive"), "1 answer broken off by the service's content filter"),
        (completion("", "stop"), "1 answer with an empty text"),
    ],
)
def test_an_answer_that_is_less_than_it_seems_is_counted_in_a_warning(ask, answer, warned):
    with pytest.warns(tsn.TSNWarning, match=warned):
        out, _, _ = ask(plain(answer))
    assert out["error"].isna().all() and out["content"].notna().all()


@pytest.mark.parametrize("reason", ["OTHER", "load", None])
def test_an_empty_answer_that_did_not_end_well_is_asked_for_once_more_and_not_kept(ask, chat, reason):
    empty = completion("", reason, {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100})
    out, service, _ = ask(plain(empty), again=True)
    assert out["error"][0].startswith("empty: ") and service.requests == 4
    out, service, _ = ask(lambda body, number: plain(completion("fine") if number == 2 else empty), cache="off")
    assert (out["content"].tolist(), service.requests) == (["fine"], 2)
    turn, _, _ = chat(stream(chunk(None, reason), b"data: [DONE]\n\n"))
    assert turn["state"] == "failed" and turn["error"].startswith("empty: ")


@pytest.mark.parametrize("choices", [[], None])
def test_usage_without_a_choice_is_an_empty_answer_that_is_billed_and_kept(ask, choices):
    nothing = plain({"model": "m", "choices": choices, "usage": USAGE})
    out, service, _ = ask(nothing)
    assert out["error"][0].startswith("empty: ") and service.requests == 1 and out["cost"][0] > 0
    _, service, _ = ask(nothing, again=True)
    assert service.requests == 1, "one for both runs"


def test_a_stream_with_an_end_mark_and_no_finish_reason_is_stored(ask, chat, tmp_path):
    answer = stream(chunk("Hel"), chunk("lo"), b"data: [DONE]\n\n")
    out, service, _ = ask(answer, again=True, stream=True)
    assert out["content"].tolist() == ["Hello"] and service.requests == 1
    turn, _, _ = chat(answer, cache="use")
    assert turn["content"] == "Hello" and tsn.Client(cache=tmp_path / "chat").cache.stats().answers == 1


CALLS = [{"id": "1", "type": "function", "function": {"name": "label", "arguments": '{"topic": "billing"}'}}]


@pytest.mark.parametrize(
    ("answer", "content", "error"),
    [
        (completion(None, refusal="I can't help."), None, "filtered: the model refused: I can't help."),
        (completion("", refusal="I can't help."), None, "filtered: the model refused: I can't help."),
        (completion(None, "tool_calls", tool_calls=CALLS), None, "empty: the answer has no text but tool calls"),
        (completion("Look:", "tool_calls", tool_calls=CALLS), "Look:", None),
        (completion({"topic": "billing"}), '{"topic":"billing"}', None),
        (completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", None),
        (completion(None, "content_filter"), None, "filtered: the service's content filter"),
        (completion("", "SAFETY"), None, "filtered: the service's content filter"),
        (completion(""), "", None),
    ],
    ids=str,
)
def test_what_was_paid_for_is_in_the_frame(ask, answer, content, error):
    out, service, _ = ask(plain(answer), include=["refusal", "tool_calls"])
    message = answer["choices"][0]["message"]
    assert [value if isinstance(value, str) else None for value in out["content"]] == [content]
    assert pd.isna(out["error"][0]) if error is None else out["error"][0].startswith(error)
    assert out["tool_calls"].tolist() == [message.get("tool_calls")]
    assert message.get("refusal") in (None, out["refusal"][0])
    assert service.requests == 1 and out["total_tokens"].tolist() == [120]


# Errors


def coded(code):
    """An error with a code, in the shape of the service that has it."""
    number = code.removeprefix("base_resp_")
    if number != code:
        return {"base_resp": {"status_code": int(number), "status_msg": "no"}, "choices": None}
    return {"error": {"message": "no", "code": code}}


def judged(body, status):
    """What an error means, without a server."""
    return classify(HttpResponse(status, {}, json.dumps(body).encode()), Secret("canary"))


@pytest.mark.parametrize(("code", "meaning"), [(code, meaning) for code, (meaning, _) in ERROR_CODES.items() if meaning in ENDS])
def test_each_code_of_key_balance_or_model_means_the_end_of_the_run(code, meaning):
    for status in (200, 400, 403):
        found = judged(coded(code), status)
        assert (found.kind, found.end) == ("end_run", ENDS[meaning]), status


@pytest.mark.parametrize(
    ("code", "status"), [("invalid_api_key", 200), ("1113", 429), ("base_resp_1008", 200), ("model_not_found", 400)]
)
def test_such_a_code_ends_the_run(ask, code, status):
    _, service, error = ask(plain(coded(code), status), rows=20)
    assert type(error) is ENDS[ERROR_CODES[code][0]] and service.requests <= 8


@pytest.mark.parametrize("status", [200, 400, 429])
def test_each_other_code_of_an_error_has_its_meaning(ask, status):
    codes, seen = [code for code, (meaning, _) in ERROR_CODES.items() if meaning not in ENDS], set()
    codes = codes[::6] if status == 429 else codes  # each of these refusals is waited for

    def respond(body, _):
        row = body["messages"][-1]["content"]
        again = row in seen
        seen.add(row)
        return plain(completion()) if again else plain(coded(codes[int(row.removeprefix("row "))]), status)

    out, _, _ = ask(respond, rows=len(codes))
    for code, error, content in zip(codes, out["error"], out["content"], strict=True):
        meaning = ERROR_CODES[code][0]
        if meaning == "too_long" or (meaning == "filtered" and status != 429):
            assert str(error).startswith(f"{meaning}: "), code
        else:
            assert content == "fine", code


SENTENCES = {
    "too_long": [
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 36278. The input must be reduced",
        "Request body too large for gpt-4o model. Max size: 8000 tokens.",
        "This model's maximum context length is 2048 tokens. Please reduce the length of the messages.",
        "the request exceeds the available context size", "Input is too long for requested model.",
        "Range of input length should be [1, 30720]", "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
        "The decoder prompt (length 21535) is longer than the maximum model length of 16384.",
        "max_tokens must be at least 1, got -37.", "litellm.ContextWindowExceededError: too many",
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
        "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
        "length of prompt_tokens (57535) must be less than max_seq_len (32768).",
        "input length and `max_tokens` exceed context limit: 198000 + 21333 > 200000",
    ],
    "balance": [
        "Insufficient balance or no resource package. Please recharge.", "Insufficient credits", "insufficient balance (1008)",
        "Your credit balance is too low to access the API", "Insufficient account balance", "Key limit exceeded (total limit)",
        "This request requires more credits, or fewer max_tokens.", "用户余额不足", "Your paid balance is insufficient.",
        "Budget has been exceeded! Current cost: 5.0, Max budget: 4.0",
        "Your team 16f2151a has either used all available credits or reached its monthly spending limit.",
        "you (x) have reached your session usage limit, upgrade for higher limits: https://ollama.com/upgrade",
        "Usage limit reached for 5 hour. Your limit will reset at 2026-08-27 21:31:39", "Token quota is not enough", "Quota exceeded and account balance is $0.0, please pay with fiat", "该令牌额度已用尽", "用户额度不足",
        "Your account org-x <ak-y> is suspended, please check your plan and billing details",
    ],
    "key": [
        "Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai.", "User not found.",
        "API key not valid. Please pass a valid API key.", "No auth credentials found", "Unauthorized", "无效的令牌",
        "Authentication Fails (no such user)", "Invalid token", "Authentication Error, Invalid proxy server token passed",
        "User location is not supported for the API use.", "Your API key was reported as leaked. Please use another API key.",
    ],
    "model": [
        "The model `x` does not exist.", "model 'x' not found", "Unknown model foo", "No endpoints found for x/y.",
        "Invalid model name passed in model=x", "当前分组下对于模型 x 无可用渠道", "模型不存在", "claude-sonnet-4-6 is not a valid model ID",
        "models/gemini-0 is not found for API version v1beta", "No models loaded. Please load a model in the developer page.",
        "Unexpected endpoint or method. (POST /chat/completions)",
        "Unable to access non-serverless model x. Please visit https://api.together.ai/models/x",
    ],
    "filtered": [
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "Your input was flagged", "x requires moderation", "Input data may contain inappropriate content.",
        "Content violates usage guidelines. Team: x, API key ID: y, Model: grok-4-0709, Failed check: SAFETY_CHECK_TYPE_BIO",
        "The request was rejected because it was considered high risk", "input content audit failed",
    ],
    "rate": ["Rate limit exceeded", "Too Many Requests", "Throttled: rate limit"],
    "overloaded": ["The server is currently overloaded", "The server is busy, try again", "The model is temporarily unavailable",
                   "Loading model", "Model x is currently loading", "当前分组上游负载已饱和"],
}  # fmt: skip


@pytest.mark.parametrize(("meaning", "pattern"), [(meaning, pattern) for meaning, pattern, _ in ERROR_WORDS])
def test_each_entry_of_the_words_has_a_sentence(meaning, pattern):
    assert any(re.search(pattern, sentence, re.IGNORECASE) for sentence in SENTENCES[meaning])


@pytest.mark.parametrize(("meaning", "sentence"), [(meaning, text) for meaning, texts in SENTENCES.items() for text in texts])
def test_each_sentence_has_its_meaning(meaning, sentence):
    assert meaning_of_words(sentence) == meaning


ENDING = [(name, text) for name in ENDS for text in SENTENCES[name]]
STATUSES = (200, 400, 403, 429, 500, 503)


@pytest.mark.parametrize("status", STATUSES)
def test_words_of_key_balance_or_model_are_a_suspicion_under_any_status(status):
    for meaning, sentence in ENDING:
        assert judged({"error": {"message": sentence}}, status).suspect is ENDS[meaning], sentence


@pytest.mark.parametrize(
    ("meaning", "status"),
    [*((name, status) for name in ENDS for status in (200, 403, 500)), ("key", 503), ("balance", 429), ("model", 400)],
)
def test_words_of_key_balance_or_model_that_all_rows_get_end_the_run(ask, meaning, status):
    _, service, error = ask(plain({"error": {"message": SENTENCES[meaning][-1]}}, status), rows=40)
    assert type(error) is ENDS[meaning] and service.requests < 14


@pytest.mark.parametrize(
    ("status", "number"), [(500, 401), (400, 402), (503, 404), (422, "401"), (429, 402), (405, None), (410, None), (403, None)]
)
def test_a_number_of_key_balance_or_model_that_all_rows_get_ends_the_run_whatever_the_status(ask, status, number):
    _, service, error = ask(plain({"error": {"message": "no", "code": number}}, status), rows=40)
    kinds = {401: tsn.errors.AuthenticationError, 402: tsn.errors.BalanceError, 403: tsn.errors.AuthenticationError}
    assert type(error) is kinds.get(int(number or status), tsn.errors.ModelError) and service.requests < 14


@pytest.mark.parametrize(
    "words",
    [
        "Unrecognized request argument supplied: stream_options", "stream_options.include_usage is not supported",
        "body.x: Extra inputs are not permitted", "One or more parameters specified in the request are not valid.", "Bad Request", "Validation error",
    ],
)  # fmt: skip
def test_the_option_that_asks_for_the_usage_is_left_out_once_where_it_is_refused(ask, chat, words):
    refusal, answer = plain({"error": {"message": words}}, 400), stream(chunk("Hi", "stop"))
    turn, service, _ = chat(lambda body, _: refusal if "stream_options" in body else answer)
    assert (turn["content"], service.requests) == ("Hi", 2)
    turn, service, _ = chat(plain({"error": {"message": "temperature must be below 2"}}, 400))
    assert (turn["state"], service.requests) == ("failed", 1)


def test_a_stream_of_json_lines_is_read(ask, chat):
    lines = [json.dumps(chunk("Hel")).encode() + b"\n", json.dumps(chunk("lo", "stop", USAGE)).encode() + b"\n"]
    out, _, _ = ask(plain(b"".join(lines)))
    turn, _, _ = chat(stream(*lines))
    assert out["content"][0] == turn["content"] == "Hello" and out["total_tokens"][0] == turn["total_tokens"] == 120


def test_an_error_that_is_a_list_in_an_event_ends_the_answer(chat):
    turn, service, error = chat(
        stream([{"error": {"code": 400, "message": "API key not valid", "details": [{"reason": "API_KEY_INVALID"}]}}])
    )
    assert isinstance(error, tsn.errors.AuthenticationError) and service.requests == 1 and turn["state"] == "failed"


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_such_words_in_a_few_rows_are_those_rows_errors(ask, status):
    def respond(body, _):
        row = int(body["messages"][-1]["content"].removeprefix("row "))
        return plain({"error": {"message": ENDING[row // 10][1]}}, status) if row % 10 == 9 else plain(completion())

    out, _, error = ask(respond, rows=10 * len(ENDING))
    assert error is None and out["content"].notna().sum() == 9 * len(ENDING)


@pytest.mark.parametrize("status", [200, 400, 413, 422, 429, 500])
def test_a_request_that_is_too_large_is_its_row_s_error_at_once(ask, status):
    code = "rate_limit_exceeded" if status == 429 else None
    for sentence in SENTENCES["too_long"]:
        found = judged({"error": {"message": sentence, "code": code}}, status)
        assert found.kind == "row_error" and found.error.code == "too_long", sentence
    bad = plain({"error": {"message": SENTENCES["too_long"][0], "code": code}}, status)
    out, service, error = ask(lambda body, _: bad if "row 3" in str(body) else plain(completion()), rows=8)
    assert error is None and service.requests == 8
    assert out["error"].dropna().str.startswith("too_long: ").tolist() == [True]


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("sentence", SENTENCES["filtered"])
def test_words_of_a_filter_are_the_row_s_error(sentence, status):
    found = judged({"code": "The caller does not have permission", "error": sentence}, status)
    assert (found.kind, found.error.code, found.suspect) == ("row_error", "filtered", None)


@pytest.mark.parametrize(
    "respond",
    [
        plain(completion("Half") | {"error": {"code": 502, "message": "Upstream died"}}),
        plain(completion("Half", choice={"error": {"code": 502, "message": "Upstream died"}})),
        plain({"error": {"code": 502, "message": "Upstream died"}}),
        plain({"error": "Upstream died"}),
        plain([{"error": {"code": 502, "message": "Upstream died"}}]),
        plain({"object": "error", "message": "Upstream died", "code": 500}),
        plain({"code": 50001, "msg": "Upstream died"}),
        plain({"statusCode": 502, "message": "Upstream died"}),
        plain({"success": False, "message": "Upstream died"}),
        stream(chunk("Half"), {"error": {"code": 502, "message": "Upstream died"}}),
    ],
)
def test_an_error_under_a_200_is_not_an_answer(ask, respond):
    out, service, _ = ask(lambda body, number: respond if number == 1 else plain(completion("whole")))
    assert (out["content"].tolist(), service.requests) == (["whole"], 2)


def test_an_error_under_a_200_is_not_cached(ask):
    out, service, _ = ask(plain(completion("Half") | {"error": {"code": 400, "message": "no"}}), again=True)
    assert out["error"][0].startswith("bad_request") and service.requests == 2


def test_an_error_with_usage_is_billed_and_one_without_is_not(ask):
    paid = plain(completion("Half") | {"error": {"code": 502, "message": "Upstream died"}})
    free = plain(
        completion(None, usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}) | {"error": {"code": 502}}
    )
    answers = [paid, free, plain({"error": {"code": 502}}), plain(completion())]
    out, _, _ = (
        ask(lambda body, number: answers[number - 1], retry=None)
        if False
        else ask(lambda body, number: answers[(number - 1) % 2 * 3], rows=1)
    )
    assert out["cost"].tolist() == pytest.approx([0.0006])
    out, _, _ = ask(lambda body, number: answers[min(number, 3)], cache="off")
    assert out["cost"].tolist() == pytest.approx([0.0003])


@pytest.mark.parametrize("empty", [{}, {"message": "", "type": "", "code": None}, None, "", False])
def test_an_empty_error_beside_an_answer_is_none(ask, empty):
    out, _, _ = ask(plain(completion("fine") | {"error": empty}))
    assert out["content"].tolist() == ["fine"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"object": "error", "message": "too few", "type": "BadRequestError", "code": 400}, "too few"),
        ({"message": {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs"}]}, "type": "e"}, "body.x: Extra inputs"),
        ({"detail": [{"loc": ["body", "x"], "msg": "Field required"}]}, "body.x: Field required"),
        ({"detail": "Unknown thing"}, "Unknown thing"),
        ({"message": "You cannot"}, "You cannot"),
        ({"success": False, "errors": [{"code": 5007, "message": "Not so"}]}, "Not so"),
        ([{"error": {"code": 400, "message": "Not so"}}], "Not so"),
        ({"error": "Not so"}, "Not so"),
        ({"code": 40001, "msg": "Not so"}, "Not so"),
        ({"error": True, "message": "Not so"}, "Not so"),
        ({"Message": "Not so", "Code": "X"}, "Not so"),
        ({"errorMessage": "Not so", "errorCode": "E1"}, "Not so"),
        ({"error": "invalid_request", "error_description": "Not so"}, "Not so"),
        ({"fault": {"faultstring": "Not so", "detail": {"errorcode": "x"}}}, "Not so"),
        ({"errors": {"n": ["too", "few"]}}, "too"),
        ({"type": "error", "error": {"type": "x", "message": "Not so"}}, "Not so"),
        ({"error": {"message": '{"error": {"message": "deep"}}'}}, "deep"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": '{"message": "own words"}'}}}, "own words"),
        (b"plain words", "plain words"),
        (b"<html><style>p {}</style><h1>Not &amp; so</h1></html>", "Not & so"),
        (b'{"cut', '{"cut'),
        (b"", "no message"),
    ],
)  # fmt: skip
def test_the_words_of_an_error_are_read_in_each_shape(ask, body, words):
    out, _, _ = ask(plain(body, 422))
    assert out["error"][0] == f"bad_request: 422: {words}" or words in out["error"][0]


def test_a_key_in_an_error_of_any_shape_is_not_shown(ask):
    body = {"detail": [{"msg": "bad key tsn_live_abcdefgh", "loc": ["sk-abcdefghijklmnop"]}]}
    out, _, _ = ask(plain(body, 400))
    assert "abcdefgh" not in out["error"][0] and "***" in out["error"][0]


UNLISTED = {
    "IMAGE_SAFETY": "filtered", "content_filter: PROHIBITED_CONTENT": "filtered", "ERROR_TOXIC": "filtered", "SPII": "filtered",
    "ERROR_LIMIT": "failed", "MALFORMED_FUNCTION_CALL": "failed", "cancelled": "failed", "timeout": "failed",
    "max-output-length": "cut_off", "max_new_tokens": "cut_off", "incomplete": "cut_off", "moderated": "filtered", "end_turn": None, "stop": None, "eos": None, "COMPLETE": None,
}  # fmt: skip


@pytest.mark.parametrize(("reason", "wanted"), UNLISTED.items())
def test_a_finish_reason_that_is_not_listed_goes_by_its_words(reason, wanted):
    assert ending(reason) == wanted


@pytest.mark.parametrize(
    "more",
    [
        {"success": False, "code": 500}, {"status": "error"}, {"status": 500}, {"status_code": "502"}, {"x_groq": {"error": "model failed"}}, {"code": 400},
        {"modelStreamErrorException": {"message": "stream failed"}}, {"type": "error", "reason": "upstream"},
    ],
    ids=str,
)  # fmt: skip
def test_an_error_beside_choices_is_not_an_answer(ask, more):
    whole = {"choices": [{"message": {"content": "product"}, "finish_reason": "stop"}], "usage": USAGE, **more}
    if {"success", "status", "status_code", "code"} & set(more):  # the others end streams
        out, _, _ = ask(plain(whole))
        assert out["content"].isna().all()
    out, _, _ = ask(stream(chunk("product"), more, b"data: [DONE]\n\n"))
    assert out["content"].isna().all()


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ({"model": "m", "message": {"content": "fine"}, "done": True, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 20}, "fine"),
        ({"code": 0, "msg": "success", "data": completion()}, "fine"),
        ({"success": True, "errors": [], "messages": [], "result": completion()}, "fine"),
        ({"output": {"choices": completion()["choices"]}, "usage": USAGE, "request_id": "x"}, "fine"),
        ([completion()], "fine"),
        ({"choices": [{"message": "fine", "finish_reason": "stop"}], "usage": USAGE}, "fine"),
        ({"choices": [{"message": {"content": "fine"}, "finishReason": "STOP"}], "usage": USAGE}, "fine"),
        (completion("fine", {"type": "stop", "matched": 1}), "fine"),
        (completion(["fi", "ne"]), "fine"),
        (completion([{"type": "text", "text": {"value": "fine", "annotations": []}}]), "fine"),
        (completion(42), "42"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_an_answer_in_another_shape_is_an_answer(ask, answer, content):
    out, service, _ = ask(plain(answer))
    assert (out["content"].tolist(), service.requests) == ([content], 1)
    assert out["total_tokens"].tolist() == [120]


def test_a_stream_of_ollama_s_own_api_is_read(ask):
    parts = [{"message": {"content": text}, "done": False} for text in ("ha", "ha", "!")]
    last = {"message": {"content": ""}, "done": True, "done_reason": "length", "prompt_eval_count": 100, "eval_count": 20}
    lines = b"".join(json.dumps(part).encode() + b"\n" for part in [*parts, last])
    out, service, _ = ask(plain(lines))
    assert out.loc[0, ["content", "finish_reason", "total_tokens"]].tolist() == ["haha!", "length", 120]
    assert service.requests == 1


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (
            {
                "error": {
                    "message": "Rate limit exceeded",
                    "code": 429,
                    "metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3600"}},
                }
            },
            3600,
        ),
        ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "37s"}]}}], 37),
        ({"error": "Model x is currently loading", "estimated_time": 20.5}, 20.5),
        ({"message": "slow down", "retry_after": 7}, 7),
        ({"message": "slow down", "retryAfterMs": 500}, 0.5),
        ({"message": "slow down", "retry_after": None}, None),
    ],
    ids=str,
)
def test_a_wait_in_the_body_of_an_error_counts_as_one_in_a_header(body, seconds):
    assert judged(body, 429).wait == seconds


@pytest.mark.parametrize("page", [b"Unauthorized", b"<html><h1>Unauthorized</h1></html>", b"error: invalid api key"])
def test_a_text_in_place_of_an_answer_is_judged_by_its_words(ask, page):
    _, service, error = ask(plain(page), rows=40)
    assert type(error) is tsn.errors.AuthenticationError and service.requests < 14
    out, _, _ = ask(plain(b"<html><h1>Welcome</h1></html>"))
    assert out["error"][0].startswith("unreadable: ")


def test_an_error_that_comes_as_an_event_under_its_status_is_read(ask):
    out, _, _ = ask(plain(b'event:error\ndata:{"code":"context_length_exceeded","message":"Not so"}\n\n', 400))
    assert out["error"].tolist() == ["too_long: 400: Not so"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (498, {"error": {"message": "Flex tier is full", "type": "", "code": "capacity_exceeded"}}),
        (400, {"message": "Please wait before trying again.", "__type": "ThrottlingException"}),
        (403, {"error": {"message": "Slow down", "type": "rate_limit_error"}}),
    ],
)
def test_a_code_that_names_a_limit_is_waited_for_whatever_its_status(ask, status, body):
    fine = plain(completion("fine"))
    out, service, _ = ask(lambda _, number: plain(body, status) if number <= 2 else fine)
    assert out["content"].tolist() == ["fine"] and service.requests == 3


def test_a_prompt_that_gemini_blocks_is_filtered(ask):
    out, service, _ = ask(plain({"choices": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usage": USAGE}))
    assert out["error"][0].startswith("filtered: ") and "PROHIBITED_CONTENT" in out["error"][0] and service.requests == 1


def test_an_error_field_with_the_code_of_success_is_not_an_error(ask):
    whole = {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}], "usage": USAGE}
    out, service, _ = ask(plain({**whole, "error": {"code": 0, "message": "success"}}))
    assert out["content"].tolist() == ["fine"] and service.requests == 1
