"""A thousand rows, each hit by a dialect fault drawn at random from the table: right answers, right codes, and the bill."""

from __future__ import annotations

import random
import threading

import pandas as pd
import pytest
from support.dialect_service import USAGE, DialectService, completion, plain, stream

import tsn_frames as tsn
from tsn_frames.api.dialects.error_tables import ERROR_CODES
from tsn_frames.api.dialects.response_tables import CACHED, COMPLETION, FINISH, PROMPT, REASONING, WRAPPED

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ROWS = 1000
ZERO = dict.fromkeys(USAGE, 0)
PRICES = {"m": {"prompt": 1.0, "completion": 10.0, "cached": 0.5}}
CALLS = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
ENDED = {kind: [reason for reason, (found, _) in FINISH.items() if found == kind] for kind in ("cut_off", "filtered", "failed")}
CODES = {kind: [code for code, (found, _) in ERROR_CODES.items() if found == kind and not code.startswith("base")] for kind in (
    "rate", "overloaded", "too_long", "filtered")}  # fmt: skip
TOO_LONG = ("The input must be reduced.", "maximum context length is 2048 tokens", "prompt is too long: 9 > 8")


def nested(path, value):
    for step in reversed(path):
        value = {step: value}
    return value


# What hits a row, and how often: the last five are tried again, which is one request more.
FAULTS = {
    "counts": 15, "cached": 10, "reasoning": 10, "cut_off": 10, "filtered": 6, "empty": 5, "parts": 6, "object": 5, "calls": 5,
    "refusal": 5, "event_stream": 5, "empty_error": 5, "too_long": 4, "refused_filter": 4, "shape": 6, "beside": 5,
    "failed": 3, "error_200": 4, "busy_200": 2, "half": 2, "not_ended": 1,
}  # fmt: skip


class Service:
    """Answers row by row, each in a dialect drawn for it, and adds up what it bills."""

    def __init__(self, seed):
        self.draw = {f"row {number}": random.Random(f"{seed} {number}") for number in range(ROWS)}
        self.fault = {row: draw.choices(list(FAULTS), list(FAULTS.values()))[0] for row, draw in self.draw.items()}
        self.billed, self.attempts, self._lock = 0.0, dict.fromkeys(self.draw, 0), threading.Lock()

    def __call__(self, body, _):
        row = body["messages"][-1]["content"]
        with self._lock:
            self.attempts[row] += 1
            draw, first = self.draw[row], self.attempts[row] == 1
            answer, usage = getattr(self, self.fault[row])(row, draw, first)
            cached = 60 if self.fault[row] in ("cached", "beside") else 0
            self.billed += ((100 - cached) * 1.0 + cached * 0.5 + 20 * 10.0) / 1e6 if usage else 0.0
        return answer

    def counts(self, row, draw, first):
        form = draw.choice([int, float, str])
        usage = {draw.choice(list(PROMPT)): form(100), draw.choice(list(COMPLETION)): form(20)}
        return plain(completion(row, usage=usage)), True

    def beside(self, row, draw, first):
        usage = {"input_tokens": 40, "output_tokens": 20, "cache_read_input_tokens": 60}
        return plain(completion(row, usage=usage | draw.choice([{}, {"total_tokens": 120}]))), True

    def shape(self, row, draw, first):
        made = completion(row)
        native = {"message": {"content": row}, "done": True, "prompt_eval_count": 100, "eval_count": 20}
        return plain(draw.choice([{draw.choice(list(WRAPPED)): made, "code": 0, "message": "success"}, [made], native])), True

    def not_ended(self, row, draw, first):
        return plain(completion("", draw.choice(["OTHER", "load", None])) if first else completion(row)), True

    def cached(self, row, draw, first):
        return plain(completion(row, usage=USAGE | nested(draw.choice(list(CACHED)), 60))), True

    def reasoning(self, row, draw, first):
        return plain(completion(row, **{draw.choice(list(REASONING)): "hm"})), True

    def cut_off(self, row, draw, first):
        return plain(completion(row, draw.choice(ENDED["cut_off"]))), True

    def filtered(self, row, draw, first):
        return plain(completion(None, draw.choice(ENDED["filtered"]))), True

    def empty(self, row, draw, first):
        return plain(completion("")), True

    def parts(self, row, draw, first):
        return plain(completion([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": row}])), True

    def object(self, row, draw, first):
        return plain(completion({"row": row})), True

    def calls(self, row, draw, first):
        return plain(completion(None, "tool_calls", tool_calls=CALLS)), True

    def refusal(self, row, draw, first):
        return plain(completion(None, refusal="No.")), True

    def event_stream(self, row, draw, first):
        chunks = [{"choices": [{"delta": {"content": part}}]} for part in (row[:2], row[2:])]
        return stream(*chunks, {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE}), True

    def empty_error(self, row, draw, first):
        return plain(completion(row) | {"error": draw.choice([{}, None, {"message": "", "code": None}])}), True

    def too_long(self, row, draw, first):
        error = {"message": draw.choice(TOO_LONG), "code": draw.choice([None, *CODES["too_long"]])}
        return plain({"error": error}, draw.choice([200, 400, 413, 422, 429, 500])), False

    def refused_filter(self, row, draw, first):
        return plain({"error": {"message": "no", "code": draw.choice(CODES["filtered"])}}, draw.choice([200, 400, 403])), False

    def failed(self, row, draw, first):
        usage = draw.choice([USAGE, ZERO])
        return plain(
            completion("Half", draw.choice(ENDED["failed"]), usage) if first else completion(row)
        ), not first or usage is USAGE

    def error_200(self, row, draw, first):
        error = draw.choice([{"code": 502}, {"code": "500"}, "upstream died", {"message": "x", "type": "server_error"}])
        return plain({"error": error} if first else completion(row)), not first

    def busy_200(self, row, draw, first):
        code = draw.choice([429, "429", 503, *CODES["rate"], *CODES["overloaded"]])
        return plain({"error": {"message": "busy", "code": code}} if first else completion(row)), not first

    def half(self, row, draw, first):
        half = (
            completion("Half", choice={"error": {"code": 502, "message": "died"}})
            if draw.random() < 0.5
            else completion("Half") | {"error": {"code": 502}}
        )
        return plain(half if first else completion(row)), True


def expected(row, fault):
    """The content of a row, and the code of its error."""
    content = {"filtered": None, "empty": "", "object": f'{{"row":"{row}"}}', "calls": None, "refusal": None,
               "too_long": None, "refused_filter": None}.get(fault, row)  # fmt: skip
    code = {"filtered": "filtered", "calls": "empty", "refusal": "filtered", "too_long": "too_long", "refused_filter": "filtered"}
    return content, code.get(fault)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_row_has_its_answer_or_its_code_and_the_ledger_is_the_bill(tmp_path, seed):
    respond = Service(seed)
    with DialectService(respond) as service:
        client = tsn.Client(service.url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db", prices=PRICES)
        df = pd.DataFrame({"t": list(respond.draw)})
        out = df.tsn.complete("{t}", client=client, max_tokens=20, max_cost=1.0, progress=False)
        found = [
            (None if pd.isna(content) else content, None if pd.isna(error) else error.partition(":")[0])
            for content, error in zip(out["content"], out["error"], strict=True)
        ]
        assert found == [expected(row, fault) for row, fault in respond.fault.items()]
        assert service.requests <= 1.15 * ROWS
        ledger = client.ledger.to_frame()
        assert ledger["cost"].astype(float).sum() == pytest.approx(respond.billed)
        assert out["cost"].sum() == pytest.approx(respond.billed) and ledger["cost"].notna().all()


def test_a_cap_holds_whatever_the_dialect(tmp_path):
    respond = Service(3)
    with DialectService(respond) as service:
        client = tsn.Client(service.url, model="m", cache=tmp_path / "c", ledger=tmp_path / "l.db", prices=PRICES)
        df = pd.DataFrame({"t": list(respond.draw)})
        with pytest.raises(tsn.BudgetExceeded):
            df.tsn.complete("{t}", client=client, max_tokens=20, max_cost=0.05, progress=False)
        assert 0.04 < respond.billed <= 0.05
