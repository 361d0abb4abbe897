"""``label`` against a real service on loopback: columns, votes, repairs, money, interrupts."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from support.dialect_service import DialectService, completion, plain
from support.labelling import client_of, is_repair, service, text_of
from support.waiting import run_loop_once, wait_until

import tsn_frames as tsn
from tsn_frames.engine.runtime.process import process_state
from tsn_frames.engine.runtime.session import SharedSession
from tsn_frames.errors import BudgetExceeded, ColumnError, ConfigError, ParameterError, RunError, TSNWarning
from tsn_frames.verbs.rounds.row_texts import quote_stands_in

TOPICS = ["billing", "delivery", "praise"]
DF = pd.DataFrame({"text": ["charged twice", "where is it", "thank you", "", "charged twice"]}, index=list("abcde"))
GOLD = {"charged twice": "billing", "where is it": "delivery", "thank you": "praise"}


def gold(body):
    return json.dumps({"label": GOLD[text_of(body)]})


def gap(*words):
    return pytest.warns(TSNWarning, match="|".join(words) or "missing or blank")


@pytest.fixture
def simple(tmp_path):
    with service(gold, tmp_path) as found:
        yield found


def test_a_frame_is_labelled(simple):
    sim, client = simple
    with gap():
        out = DF.tsn.label("text", TOPICS, name="topic", client=client)
    assert out.index.equals(DF.index) and out["text"].equals(DF["text"]) and "topic" not in DF
    assert out["topic"].tolist()[:3] == TOPICS and out["topic"].isna().tolist() == [False, False, False, True, False]
    assert out["topic"].cat.categories.tolist() == TOPICS and not out["topic"].cat.ordered
    assert out["topic_how"].tolist() == ["exact", "exact", "exact", "none", "exact"]
    assert out["topic_error"].str.partition(":")[0].tolist() == [pd.NA, pd.NA, pd.NA, "missing", pd.NA]
    assert out.columns.tolist() == ["text", "topic", "topic_how", "topic_prompt_tokens", "topic_completion_tokens",
                                    "topic_total_tokens", "topic_cost", "topic_cached", "topic_error"]  # fmt: skip
    assert sim.stats().requests == 3, "equal texts are sent once"
    sent = [exchange.body for exchange in sim.log]
    assert {body["temperature"] for body in sent} == {0.0}
    assert all(body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == TOPICS for body in sent)
    assert len({json.dumps(body["messages"][:-1]) for body in sent}) == 1, "what comes before the text is equal for all rows"


def test_a_second_run_sends_nothing_and_costs_nothing(simple):
    sim, client = simple
    call = dict(votes=3, client=client, name="topic")
    first = DF.iloc[:3].tsn.label("text", TOPICS, **call)
    sent = sim.stats().requests
    again = DF.iloc[:3].tsn.label("text", TOPICS, **call)
    assert sent == 9 == sim.stats().requests
    assert again["topic_cost"].tolist() == [0.0] * 3 and again["topic_cached"].all() and not first["topic_cached"].any()
    assert again["topic"].equals(first["topic"])
    only = DF.iloc[:3].tsn.label("text", TOPICS, cache="only", **call)
    assert only["topic"].equals(first["topic"]) and sim.stats().requests == 9


def test_the_last_run_is_the_whole_labelling(simple):
    with gap():
        DF.tsn.label("text", TOPICS, votes=2, client=simple[1])
    run = tsn.last_run()
    assert (run.summary.rows, run.summary.answered, run.summary.missing, run.summary.requests) == (5, 4, 1, 6)
    assert run.frame["label"].notna().sum() == 4 and run.done
    assert run.progress.rows == 5 and run.progress.done == 5


def test_it_runs_in_the_background(simple):
    run = tsn.start(DF.iloc[:3].tsn.label, "text", TOPICS, votes=(2, 5), client=simple[1])
    assert run.result()["label"].tolist() == TOPICS and run is tsn.last_run()
    assert run.result()["label_votes"].tolist() == [2, 2, 2]


def test_the_bar_says_the_round(simple, capsys):
    DF.iloc[:3].tsn.label("text", TOPICS, votes=2, client=simple[1], progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown and "tokens" in shown and shown.count("rows answered") == 1


def test_an_answer_outside_the_set_is_asked_again_once(tmp_path):
    def answer(body):
        text = text_of(body)
        if text == "thank you":
            return "maybe praise, maybe not"
        return gold(body) if text != "where is it" or is_repair(body) else "delivery or billing"

    with service(answer, tmp_path) as (sim, client), gap("1 row of 3 has no label: invalid 1"):
        out = DF.iloc[:3].tsn.label("text", TOPICS, client=client, include=["raw"])
    assert out["label"].tolist()[:2] == ["billing", "delivery"] and out["label"].isna()["c"]
    assert out["label_how"].tolist() == ["exact", "repaired", "none"]
    assert out.loc["c", "label_error"] == (
        "invalid: the answer 'maybe praise, maybe not' is not one of the labels, also when asked again"
    )
    assert out.loc["c", "label_raw"] == "maybe praise, maybe not"
    assert sim.stats().requests == 5
    assert out["label_total_tokens"].sum() == sim.stats().billed_prompt_tokens + sim.stats().billed_completion_tokens


def test_an_answer_that_was_cut_off_names_the_remedy_and_is_not_a_guess(tmp_path):
    with service(lambda _: "not sure, really", tmp_path) as (sim, client), gap("invalid 1"):
        out = DF.iloc[:1].tsn.label("text", ["not", "not sure"], structured="text", max_tokens=1, client=client)
    assert out["label"].isna().all() and "larger max_tokens=" in out["label_error"].iloc[0]
    assert sim.stats().requests == 1, "asking again would be cut off again"


def test_rounds_warn_once(tmp_path):
    with service(lambda _: "?", tmp_path) as (_, client), pytest.warns(TSNWarning) as warned:
        DF.iloc[:3].tsn.label("text", TOPICS, votes=3, client=client)
    assert [str(one.message) for one in warned] == ["3 rows of 3 have no label: invalid 3; the column 'label_error' says why"]


def test_errors_raise(tmp_path):
    with service(lambda _: "?", tmp_path) as (_, client), pytest.raises(RunError, match="have no label") as raised:
        DF.iloc[:3].tsn.label("text", TOPICS, client=client, errors="raise")
    assert raised.value.partial["label_how"].tolist() == ["none"] * 3


def voting(*answers):
    """Answer a text's votes one after the other, whatever the order of the requests."""
    seen, lock = {}, threading.Lock()

    def answer(body):
        with lock:
            number = seen[text_of(body)] = seen.get(text_of(body), -1) + 1
        return answers[number]

    return answer


@pytest.mark.parametrize(
    ("votes", "answers", "label", "how", "agreement", "asked"),
    [
        (3, "aba", "a", "exact", 2 / 3, 3),
        ((2, 5), "aa", "a", "exact", 1.0, 2),
        ((2, 5), "abaa", "a", "exact", 0.75, 4),
        ((2, 5), "ababa", "a", "exact", 0.6, 5),
        ((2, 4), "abab", pd.NA, "tied", 0.5, 4),
        (2, "ab", pd.NA, "tied", 0.5, 2),
    ],
)
def test_votes(tmp_path, votes, answers, label, how, agreement, asked):
    with service(voting(*answers), tmp_path) as (sim, client):
        call = dict(votes=votes, client=client, structured="text")
        if how == "tied":
            with gap("tie 1"):
                out = DF.iloc[:1].tsn.label("text", ["a", "b"], **call)
            assert out["label_error"].iloc[0] == f"tie: a {asked // 2}, b {asked // 2}" and out["label"].isna().all()
        else:
            out = DF.iloc[:1].tsn.label("text", ["a", "b"], **call)
            assert out["label"].iloc[0] == label
        row = out.iloc[0]
        assert (row["label_how"], row["label_votes"]) == (how, asked) and row["label_agreement"] == pytest.approx(agreement)
        bodies = [exchange.body for exchange in sim.log]
    assert sim.stats().requests == asked and {body["temperature"] for body in bodies} == {1.0}
    lists = [body["messages"][0]["content"].partition("Labels:\n")[2][:3] for body in bodies]
    assert lists == (["- a", "- b"] * 3)[:asked], "the order of the labels turns by one with each vote"


def test_ordered_labels_take_the_lower_median_and_the_escape_label_has_no_rank(tmp_path):
    with service(voting("1", "3", "3", "5"), tmp_path) as (_, client):
        out = DF.iloc[:1].tsn.label("text", {1: "not at all", 3: "in part", 5: "wholly"}, ordered=True, votes=4, client=client)
    assert out["label"].iloc[0] == 3 and out["label"].cat.ordered and out["label"].cat.categories.tolist() == [1, 3, 5]
    with service(voting("low", "none", "low"), tmp_path / "other") as (_, client):
        out = DF.iloc[:1].tsn.label("text", ["low", "high"], ordered=True, other="none", votes=3, client=client)
    assert out["label"].iloc[0] == "low"


def test_two_levels(simple):
    _, client = simple
    out = DF.iloc[:3].tsn.label("text", {"shop": ["billing", "delivery"], "mood": {"praise": "thanks"}}, client=client)
    assert out["label_group"].tolist() == ["shop", "shop", "mood"]
    assert out["label"].cat.categories.tolist() == TOPICS


def test_multiple(tmp_path):
    def answer(body):
        return json.dumps({label: label in GOLD[text_of(body)] for label in TOPICS})

    with service(answer, tmp_path) as (_, client):
        out = DF.iloc[:2].tsn.label("text", TOPICS, multiple=True, votes=2, client=client)
    assert out[["label_billing", "label_delivery", "label_praise"]].to_numpy().tolist() == [
        [True, False, False],
        [False, True, False],
    ]
    assert out["label_billing"].dtype == "boolean" and "label" not in out and out["label_agreement"].tolist() == [1.0, 1.0]


def test_a_label_may_be_called_like_a_column_that_is_not_asked_for(tmp_path):
    labels = ["cost", "votes", "reason", "quoted", "raw", "probability"]
    with service(lambda _: json.dumps(dict.fromkeys(labels, True)), tmp_path) as (_, client):
        out = DF.iloc[:1].tsn.label("text", labels, multiple=True, usage=False, client=client)
    assert out[[f"label_{label}" for label in labels]].dtypes.astype(str).tolist() == ["boolean"] * 6
    assert out[[f"label_{label}" for label in labels]].all(axis=None)


def test_quotes_are_checked(tmp_path):
    def answer(body):
        quote = {"charged twice": "Charged\ntwice", "where is it": "never said"}[text_of(body)]
        return json.dumps({"evidence": quote, "label": GOLD[text_of(body)]})

    with service(answer, tmp_path) as (_, client):
        out = DF.iloc[:2].tsn.label("text", TOPICS, explain="quote", client=client)
    assert out["label_quoted"].tolist() == [True, False] and out["label_quote"].iloc[1] == "never said"


def test_reasons_and_examples(tmp_path):
    shown = pd.DataFrame({"text": ["late!", "great"], "label": ["delivery", "praise"], "label_reason": ["a parcel", None]})

    def answer(body):
        return json.dumps({"explanation": "it names money, not delivery", "label": GOLD[text_of(body)]})

    with service(answer, tmp_path) as (sim, client):
        out = DF.iloc[:1].tsn.label("text", TOPICS, explain="reason", examples=shown, instructions="Sort mail.", client=client)
        messages = sim.log[0].body["messages"]
    assert out["label"].iloc[0] == "billing" and out["label_reason"].iloc[0] == "it names money, not delivery"
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert json.loads(messages[2]["content"]) == {"explanation": "a parcel", "label": "delivery"}
    assert messages[0]["content"].startswith("Sort mail.")


@pytest.mark.parametrize(
    ("quote", "stands"),
    [
        ("can't believe", True), ('"I WAS  charged"', True), ("\u201cfood\u201d - again", True), ("cafe\u0301", True), ("cant", False),
        ('""', False), ("charged. I", False), ("charged \u2026", False),
    ],
)  # fmt: skip
def test_a_quote_stands_in_a_text_whatever_its_typography(quote, stands):
    assert quote_stands_in(quote, "I was charged; can\u2019t believe it: \u00abfood\u00bb \u2013 again, caf\u00e9") == stands


@pytest.mark.parametrize(("explain", "key"), [("reason", "explanation"), ("quote", "evidence")])
@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("mode", ["json_schema", "json_object", "text"])
def test_the_explanation_is_asked_for_before_the_label(tmp_path, explain, key, multiple, mode):
    """Bodies are sent with sorted keys, and some gateways sort them, so the names of the keys decide their order."""
    labels = ["billing", "evidence", "explanation", "label", "labels"]

    def answer(_body):
        return json.dumps({key: "charged", **({"labels": dict.fromkeys(labels, True)} if multiple else {"label": "evidence"})})

    with service(answer, tmp_path) as (sim, client):
        call = dict(explain=explain, multiple=multiple, structured=mode, client=client, usage=False)
        out = DF.iloc[:1].tsn.label("text", labels, **call)
        (body,) = [exchange.body for exchange in sim.log]
    row = out.iloc[0]
    assert row[f"label_{explain}"] == "charged" and pd.isna(row["label_error"]) and row["label_how"] == "exact"
    assert all(row[f"label_{label}"] for label in labels) if multiple else row["label"] == "evidence"
    system = body["messages"][0]["content"]
    assert 0 < system.index(f'"{key}"') < system.index('"labels"' if multiple else '"label"')
    if mode == "json_schema":
        schema = body["response_format"]["json_schema"]["schema"]
        assert list(schema["properties"]) == [key, "labels" if multiple else "label"] == schema["required"]


def test_probabilities(tmp_path):
    def respond(body, _number):
        assert body["logprobs"] and body["top_logprobs"] == 20
        top = [{"token": "bill", "logprob": np.log(0.6)}, {"token": "del", "logprob": np.log(0.2)}, {"token": "x", "logprob": -9}]
        tokens = [
            {"token": "bill", "logprob": np.log(0.6), "top_logprobs": top},
            {"token": "ing", "logprob": 0.0, "top_logprobs": []},
        ]
        return plain(completion("billing", choice={"logprobs": {"content": tokens}}))

    with DialectService(respond) as server:
        out = DF.iloc[:1].tsn.label("text", TOPICS, probability=True, client=client_of(server.url, tmp_path, model="m"))
    assert out["label_probability"].iloc[0] == pytest.approx(0.75)


def picky(*words):
    """A service that refuses requests with one of these parameters or values."""

    def respond(body, _number):
        form = (body.get("response_format") or {}).get("type")
        found = [word for word in words if word in body or word == form]
        if found:
            return plain({"error": {"message": f"{found[0]} is not supported"}}, 400)
        label = GOLD[text_of(body)]
        return plain(completion(json.dumps({"label": label}) if form else label))

    return DialectService(respond)


@pytest.mark.parametrize(
    ("refused", "mode"),
    [((), "json_schema"), (("json_schema",), "json_object"), (("json_schema", "json_object", "temperature"), None)],
)
def test_the_form_is_found_out_by_the_first_request_and_kept(tmp_path, refused, mode):
    with picky(*refused) as server:
        client = client_of(server.url, tmp_path, model="m")
        out = DF.iloc[:3].tsn.label("text", TOPICS, client=client)
        assert out["label"].tolist() == TOPICS
        assert len(server.bodies) == 3 + len(refused)
        assert (server.bodies[-1].get("response_format") or {}).get("type") == mode
        assert ("temperature" in server.bodies[-1]) == ("temperature" not in refused)
        other = pd.DataFrame({"text": ["thank you"]})
        assert other.tsn.label("text", TOPICS, client=client, name="again")["again"].tolist() == ["praise"]
        assert len(server.bodies) == 3 + len(refused), "what the service can is known, and the answer is cached"


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_replays_elsewhere(tmp_path, suffix):
    with picky("json_schema", "temperature") as server:
        client = client_of(server.url, tmp_path, model="m")
        first = DF.iloc[:3].tsn.label("text", TOPICS, votes=2, client=client)
        client.cache.export(tmp_path / f"answers.{suffix}")
        sent = len(server.bodies)
        elsewhere = client_of(server.url, tmp_path / "elsewhere", model="m")
        assert elsewhere.cache.load(tmp_path / f"answers.{suffix}") == 6
        replayed = DF.iloc[:3].tsn.label("text", TOPICS, votes=2, client=elsewhere, cache="only")
        assert replayed["label"].equals(first["label"]) and len(server.bodies) == sent


def test_a_fixed_form_does_not_change_what_is_known_of_the_service(simple):
    sim, client = simple
    DF.iloc[:1].tsn.label("text", TOPICS, client=client)
    DF.iloc[:1].tsn.label("text", TOPICS, client=client, structured="text")
    DF.iloc[:1].tsn.label("text", TOPICS, client=client)
    assert sim.stats().requests == 2


def test_one_bad_row_does_not_change_the_form_of_the_others(tmp_path):
    def respond(body, _number):
        if text_of(body) == "charged twice":
            return plain({"error": {"message": "this text is not allowed here"}}, 400)
        return plain(completion(json.dumps({"label": GOLD[text_of(body)]})))

    with DialectService(respond) as server, gap("bad_request 1"):
        out = DF.iloc[:3].tsn.label("text", TOPICS, client=client_of(server.url, tmp_path, model="m"))
    assert out["label"].tolist()[1:] == ["delivery", "praise"] and out["label_error"].iloc[0].startswith("bad_request:")
    assert [body["response_format"]["type"] for body in server.bodies[-2:]] == ["json_schema"] * 2


@pytest.mark.parametrize(
    ("status", "message", "refused"),
    [
        (400, "temp must be 1", "temperature"),
        (422, "This model does not support sampling parameters", "temperature"),
        (400, "You are not allowed to request log probabilities", "logprobs"),
        (400, "unknown field", "response_format"),
        (501, "not implemented", "response_format"),
        (500, "failed to parse grammar", "response_format"),
        (404, "No endpoints found that can handle the requested parameters.", "response_format"),
        (404, "No endpoints found that support logprobs", "logprobs"),
        (200, "response_format is not available", "response_format"),
    ],
)
def test_a_parameter_is_left_out_whatever_the_words_of_its_refusal(tmp_path, status, message, refused):
    def respond(body, _number):
        if refused in body:
            return plain({"error": {"message": message, "code": max(status, 400)}}, status)
        return plain(completion(GOLD[text_of(body)]))

    with DialectService(respond) as server:
        client = client_of(server.url, tmp_path, model="m", retry=tsn.Retry(attempts=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TSNWarning)
            out = DF.iloc[:3].tsn.label("text", TOPICS, client=client, probability=True)
            sent = len(server.bodies)
            DF.iloc[:1].tsn.label("text", TOPICS[::-1], client=client, probability=True)
    assert out["label"].tolist() == TOPICS and refused not in server.bodies[-1]
    assert ("response_format" in server.bodies[-1]) == (refused != "response_format"), "no more is left out than has to be"
    assert sent <= 10 and len(server.bodies) == sent + 1, "what was found out is kept"


def test_a_model_that_is_not_there_ends_the_labelling(tmp_path):
    with (
        DialectService(lambda *_: plain({"error": {"message": "The model 'm' does not exist"}}, 404)) as server,
        pytest.raises(RunError, match="does not exist"),
    ):
        DF.tsn.label("text", TOPICS, missing="empty", client=client_of(server.url, tmp_path, model="m"))
    assert len(server.bodies) == 1


@pytest.mark.parametrize("logprobs", [None, {"content": []}, {"content": None}])
def test_a_service_without_log_probabilities_is_warned_of_once(tmp_path, logprobs):
    with (
        DialectService(lambda body, _: plain(completion(GOLD[text_of(body)], choice={"logprobs": logprobs}))) as server,
        pytest.warns(TSNWarning) as warned,
    ):
        out = DF.iloc[:3].tsn.label("text", TOPICS, probability=True, votes=2, client=client_of(server.url, tmp_path, model="m"))
    assert out["label_probability"].isna().all() and out["label"].tolist() == TOPICS
    assert ["no log-probabilities" in str(one.message) for one in warned] == [True]


def test_labels_of_examples_are_read_as_numbers_where_the_labels_are(simple):
    sim, client = simple
    shown = pd.DataFrame({"text": ["p", "q", "r"], "label": ["1", 2.0, np.int64(1)]}, dtype=object)
    with gap("invalid"):
        DF.iloc[:1].tsn.label("text", [1, 2], examples=shown, client=client, votes=np.int64(1))
    turns = [json.loads(message["content"])["label"] for message in sim.log[0].body["messages"] if message["role"] == "assistant"]
    assert turns[:3] == [1, 2, 1]


def test_a_model_for_each_row(simple):
    sim, client = simple
    out = DF.iloc[:3].tsn.label(
        "text", TOPICS, model=pd.Series(["sim-small", "sim-large", "sim-small"], DF.index[:3]), client=client
    )
    assert out["label"].tolist() == TOPICS
    assert sorted(exchange.body["model"] for exchange in sim.log) == ["sim-large", "sim-small", "sim-small"]


def test_an_empty_frame_and_a_frame_without_texts(simple):
    sim, client = simple
    empty = DF.iloc[:0].tsn.label("text", TOPICS, client=client)
    assert empty["label"].cat.categories.tolist() == TOPICS and len(empty) == 0
    with gap():
        blank = DF.iloc[3:4].tsn.label("text", TOPICS, client=client)
    assert blank["label"].isna().all() and sim.stats().requests == 0


def test_the_estimate_counts_votes_and_repairs(simple):
    sim, client = simple
    call = ("text", TOPICS)
    more = dict(votes=(2, 5), max_tokens=20, client=client)
    found = tsn.estimate(DF.iloc[:3].tsn.label, *call, **more)
    assert (found.rows, found.to_send, sim.stats().requests) == (3, 6, 0)
    assert "at most 24 further requests" in str(found), "three more votes of three rows, and a repair of each of the fifteen"
    DF.iloc[:3].tsn.label(*call, **more)
    paid = tsn.last_run().summary
    assert found.prompt_tokens.low <= paid.prompt_tokens <= found.prompt_tokens.high and paid.cost <= found.cost_upper_bound
    after = tsn.estimate(DF.iloc[:3].tsn.label, *call, **more)
    assert (after.to_send, after.cached, after.cost_upper_bound) == (0, 6, 0)


def test_max_cost_holds_and_keeps_what_is_paid(tmp_path):
    with service(gold, tmp_path) as (sim, client):
        with pytest.raises(BudgetExceeded) as raised:
            DF.iloc[:3].tsn.label("text", TOPICS, votes=5, max_cost=0.004, max_tokens=20, client=client)
        partial = raised.value.partial
        assert 0 < sim.stats().requests < 15 and partial["label_cost"].sum() <= 0.004
        assert partial["label"].notna().any()
        sent = sim.stats().requests
        done = DF.iloc[:3].tsn.label("text", TOPICS, votes=5, max_tokens=20, client=client)
    assert done["label"].tolist() == TOPICS and sim.stats().requests == 15 > sent


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_a_repair_that_the_budget_cuts_off_is_not_sent(tmp_path):
    df = pd.DataFrame({"text": [f"text {number}" for number in range(12)]})
    with service(lambda body: "no idea", tmp_path) as (sim, client):
        with pytest.raises(BudgetExceeded, match="the budget of") as raised:
            df.tsn.label("text", TOPICS, max_cost=0.006, max_tokens=20, client=client)
        partial = raised.value.partial
        codes = partial["label_error"].str.partition(":")[0].value_counts().to_dict()
        assert codes["not_sent"] == 24 - sim.stats().requests and codes["invalid"] == sim.stats().requests - 12 > 0
        cut = partial["label_error"][partial["label_error"].str.startswith("not_sent")].iloc[0]
        assert cut == "not_sent: the answer 'no idea' is not one of the labels, and it wasn't asked again; run again to go on"
        assert any(note.startswith("max_cost=0.00600 holds over all rounds: ") for note in raised.value.__notes__)
        done = df.tsn.label("text", TOPICS, max_tokens=20, client=client)
    assert done["label_error"].str.endswith("also when asked again").all() and sim.stats().requests == 24


@pytest.mark.filterwarnings("ignore::tsn_frames.errors.TSNWarning")
def test_overwrite_leaves_no_column_of_the_earlier_labels(tmp_path):
    def answer(body):
        label = GOLD[text_of(body)]
        return json.dumps({"explanation": "words", "label": label, **{one: one == label for one in TOPICS}})

    with service(answer, tmp_path) as (_, client):
        mine = DF.assign(label_group="my own", is_praise="my own")
        rich = DF.tsn.label("text", TOPICS, votes=3, explain="reason", include=["raw"], client=client)
        again = rich.tsn.label("text", TOPICS, client=client, overwrite=True, usage=False)
        several = rich.tsn.label("text", TOPICS, client=client, overwrite=True, multiple=True)
        single = several.tsn.label("text", TOPICS, client=client, overwrite=True)
        own = mine.tsn.label("text", TOPICS, client=client, overwrite=True)
        by = rich.tsn.label("text", TOPICS, client=client, overwrite=True, instructions="Sort.", tag="label_reason")
    assert again.columns.tolist() == [*DF, "label", "label_how", "label_error"]
    assert not {"label", "label_votes", "label_reason", "label_raw"} & set(several) and not set(
        map("label_{}".format, TOPICS)
    ) & set(single)
    assert own["label_group"].eq("my own").all(), "the frame wasn't labelled before: the column is the user's"
    assert "label_reason" not in by, "a column may be named by an option all the same"


def test_a_budget_that_can_not_hold_is_refused_before_sending(simple):
    sim, client = simple
    with pytest.raises(ConfigError, match="max_tokens"):
        DF.tsn.label("text", TOPICS, max_cost=1, client=client, missing="empty")
    assert sim.stats().requests == 0


def test_a_stopped_labelling_keeps_what_was_answered(tmp_path):
    enough = threading.Event()

    def answer(body):
        if sim.stats().requests > 4:
            enough.wait(30)
        return gold(body)

    with service(answer, tmp_path) as (sim, client):
        run = tsn.start(DF.iloc[:3].tsn.label, "text", TOPICS, votes=3, client=client)
        wait_until(lambda: sim.stats().requests > 4)
        run.stop()
        enough.set()
        with pytest.raises(RunError, match="stopped") as raised:
            run.result()
    assert raised.value.partial["label"].notna().sum() == 3 and run.frame["label_votes"].between(1, 2).all()


def test_ctrl_c_keeps_what_was_answered(tmp_path):
    interrupts = iter([lambda: os.kill(os.getpid(), signal.SIGINT)])

    def answer(body):
        if sim.stats().requests > 4:
            next(interrupts, lambda: None)()
            time.sleep(0.2)  # in flight while the interrupt arrives
        return gold(body)

    with service(answer, tmp_path) as (sim, client):
        with pytest.raises(KeyboardInterrupt) as raised:
            DF.iloc[:3].tsn.label("text", TOPICS, votes=9, client=client)
        assert raised.value.partial["label"].tolist() == TOPICS and 3 < sim.stats().requests < 27
        assert tsn.last_run().frame["label"].tolist() == TOPICS


BAD = [
    (dict(labels=[]), "at least two labels"),
    (dict(labels=["a"]), "at least two labels"),
    (dict(labels=["a", "a"]), "appears twice"),
    (dict(labels=pd.Series(["a", "b", "a"])), r"give each label once, as df\['label'\]\.dropna\(\)\.unique"),
    (dict(labels=["a", ""]), "must not be empty"),
    (dict(labels=["Yes", "yes."]), "differ in case, punctuation or blanks only"),
    (dict(labels=["a", "b"], other="A"), "differ in case"),
    (dict(labels=[f"label {n}" for n in range(500)]), "500 labels, at most 300"),
    (dict(labels=['say "no"', "b"]), "a double quote"),
    (dict(labels=["a\nb", "b"]), "a line break"),
    (dict(labels=[1, "a"]), "mixes strings and numbers"),
    (dict(labels=[True, False]), "must be a string or a whole number"),
    (dict(labels="ab"), "must be a list"),
    (dict(labels=None), "must be a list"),
    (dict(labels={"g": ["a"], "h": "text"}), "mixes groups with labels"),
    (dict(labels={"g": {"h": ["a", "b"]}}), "two levels at most"),
    (dict(labels={"g": [], "h": ["a"]}), "has no labels"),
    (dict(labels={"a": 1, "b": 2}), "description"),
    (dict(labels=["a", "error"], multiple=True), "would be called 'label_error'"),
    (dict(text="txet"), "did you mean 'text'"),
    (dict(text="no placeholder"), "text must be a column or a template"),
    (dict(votes=0), "votes must be"),
    (dict(votes=np.int64(0)), "votes must be"),
    (dict(include=5), "include must be a list"),
    (dict(labels=[1, 0], examples=pd.DataFrame({"text": ["x"], "label": [True]})), "True in row 0 is not one of the labels"),
    (dict(votes=(3, 2)), "votes must be"),
    (dict(votes=True), "votes must be"),
    (dict(structured="yaml"), "structured"),
    (dict(explain="why"), "explain must be"),
    (dict(errors="ignore"), "errors"),
    (dict(include=["logprobs"]), "include has 'logprobs'"),
    (dict(name=""), "name must be a string"),
    (dict(multiple="yes"), "multiple must be True or False"),
    (dict(temperature=9), "temperature"),
    (dict(instructions=" "), "instructions must be a string"),
    (dict(examples=[("a", "b")]), "with the columns that text='text' names, and the labels in 'label', got"),
    (dict(examples=pd.DataFrame({"text": ["x"]})), "no column 'label'"),
    (dict(examples=pd.DataFrame({"text": ["x"], "label": ["c"]})), "'c' in row 0 is not one of the labels"),
    (dict(examples=pd.DataFrame({"text": ["x"], "label": [None]})), "the label is missing in row 0"),
    (dict(examples=pd.DataFrame({"text": ["x"], "label": ["a"], "gold_split": ["test"]})), "test part"),
    (dict(examples=pd.DataFrame({"text": ["x"], "label": ["a"], "topic_split": ["test"]})), "test part"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_refused_before_sending(simple, change, message):
    sim, client = simple
    given = {"text": "text", "labels": ["a", "b"], "client": client} | change
    for verb in (lambda **words: DF.iloc[:1].tsn.label(**words), lambda **words: tsn.start(DF.iloc[:1].tsn.label, **words)):
        with pytest.raises(ParameterError, match=message):
            verb(**given)
    assert sim.stats().requests == 0


def test_columns_that_are_there_are_kept_or_replaced_on_request(simple):
    _, client = simple
    df = DF.iloc[:3].assign(label="mine")
    with pytest.raises(ColumnError, match="label"):
        df.tsn.label("text", TOPICS, client=client)
    assert df.tsn.label("text", TOPICS, client=client, overwrite=True)["label"].tolist() == TOPICS
    many = DF.iloc[:1].assign(label_billing=1)
    with pytest.raises(ColumnError, match="label_billing"):
        many.tsn.label("text", TOPICS, client=client, multiple=True)


def test_rounds_share_connections_and_what_the_limiter_has_learned(simple):
    sim, client = simple
    DF.iloc[:1].tsn.label("text", TOPICS, votes=5, client=client)
    assert (sim.stats().requests, sim.stats().connections) == (5, 1)
    limiter = process_state.account(client.base_url, client.key()).limiter
    with SharedSession(client) as shared, SharedSession(client) as other:
        for session in (shared, other, other):
            process_state.call(session.transport, client.key())
        run_loop_once()
        assert limiter._runs == 2
    assert limiter._runs == 0


def test_to_labels_reads_as_label_does():
    answers = pd.Series(
        ["Billing.", None, "not billing", '{"label": "praise"}'], index=list("wxyz"), name="content", dtype="string"
    )
    found = tsn.to_labels(answers, TOPICS, other="none", ordered=True)
    assert found.index.tolist() == list("wxyz") and found.name == "content"
    assert found.cat.categories.tolist() == [*TOPICS, "none"] and found.cat.ordered
    assert found.astype(object).where(found.notna(), None).tolist() == ["billing", None, None, "praise"]
    several = tsn.to_labels(pd.Series(['{"a": true, "b": false}', '["b"]', "a and b"]), ["a", "b"], multiple=True)
    assert several.dtypes.tolist() == ["boolean", "boolean"] and several["a"].tolist() == [True, False, pd.NA]
    with pytest.raises(ParameterError, match="needs a Series"):
        tsn.to_labels(["billing"], TOPICS)
    with pytest.raises(ParameterError, match="at least two labels"):
        tsn.to_labels(answers, ["a"])


def test_half_a_surrogate_pair_in_an_explanation_does_not_lose_the_frame(tmp_path):
    with service(lambda _: r'{"reason": "\ud83d", "label": "billing"}', tmp_path) as (_, client):
        out = DF.iloc[:1].tsn.label("text", TOPICS, explain="reason", client=client)
    assert out["label"].tolist() == ["billing"]


@pytest.mark.parametrize(
    ("finish", "code"),
    [
        ("content_filter: SAFETY", "invalid"),
        ("sensitive", "invalid"),
        ("timeout", "server"),
        ("cancelled", "server"),
        ("ERROR_LIMIT", "server"),
    ],
)
def test_an_answer_that_was_broken_off_is_not_a_label(tmp_path, finish, code):
    with DialectService(lambda *_: plain(completion("billing", finish))) as found:
        client = client_of(found.url, tmp_path, model="m", retry=tsn.Retry(attempts=1))
        with gap(f"{code} 1"):
            out = DF.iloc[:1].tsn.label("text", ["billing", "billing question"], structured="text", client=client)
    assert out["label"].isna().all() and finish in out["label_error"].iloc[0]


@pytest.mark.parametrize("labels", [{"a", "b"}, frozenset("ab"), pd.DataFrame({"label": ["a"], "text": ["b"]})])
def test_labels_without_an_order_and_frames_are_refused(simple, labels):
    with pytest.raises(ParameterError, match="give a list"):
        DF.tsn.label("text", labels, client=simple[1])


@pytest.mark.parametrize(
    ("answers", "labels", "wanted"),
    [
        ([1.0, np.nan, 3.0, 2.5, -1.0], [1, 3], [1, None, 3, None, None]),
        ([1.0, np.nan, 3.0], ["1", "3"], ["1", None, "3"]),
        ([1.0, 2.0], ["1.0", "2"], ["1.0", "2"]),
        ([1, 3, 10], [1, 3], [1, 3, None]),
        ([True, False], [1, 0], [None, None]),
        ([float("inf"), 1e300], [1, 0], [None, None]),
        (pd.array([1, None, 3], dtype="Int8"), [1, 3], [1, None, 3]),
        (pd.array([1.0, None], dtype="Float32"), [1, 3], [1, None]),
        (pd.Categorical(["a", None, "B."]), ["a", "b"], ["a", None, "b"]),
        ([["a"], ["a", "b"], [], np.array(["b"])], ["a", "b"], ["a", None, None, "b"]),
        ([{"label": "a"}, {"b": True}], ["a", "b"], ["a", None]),
    ],
)
def test_to_labels_reads_numbers_and_lists(answers, labels, wanted):
    found = tsn.to_labels(pd.Series(answers), labels)
    assert found.astype(object).where(found.notna(), None).tolist() == wanted


def test_to_labels_reads_lists_of_several_labels():
    answers = [["b", "A."], [], np.array(["a"]), ("b",), {"b"}, {"a": True, "b": False}, None, ["a", "c"], [1], [["a"]]]
    found = tsn.to_labels(pd.Series(answers, dtype=object), ["a", "b"], multiple=True)
    na = pd.NA
    assert found["a"].tolist() == [True, False, True, False, False, True, na, na, na, na]
    assert found["b"].tolist() == [True, False, False, True, True, False, na, na, na, na]
    numbers = tsn.to_labels(pd.Series([[1], [1.0, 2], None]), [1, 2], multiple=True)
    assert numbers["1"].tolist() == [True, True, na] and numbers["2"].tolist() == [False, True, na]
