"""``ddf.tsn``: the columns, dtypes and rows of the pandas verb, lazily, and nothing is sent while a graph is built."""

import pickle
import re

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.errors import ConfigError, ParameterError

dd = pytest.importorskip("dask.dataframe")
import tsn_frames.dask as tsn_dask  # noqa: E402
from tsn_frames.dask import partition  # noqa: E402

TEXTS = ["Where is my parcel?", "Two tickets for 40 euros", "Thanks!", "I was charged twice"]
ROWS = pd.DataFrame({"text": pd.array(TEXTS * 5, dtype="string"), "n": range(20)})
CALLS = {
    "complete": (("One of: a, b. {text}",), {"include": ["model", "answered_at", "logprobs"]}),
    "complete named": (("One of: a, b. {text}",), {"name": "tone", "usage": False}),
    "label": (("text", ["billing", "delivery"]), {"name": "topic", "explain": "quote", "votes": (2, 3)}),
    "label multiple": (("text", ["billing", "delivery"]), {"multiple": True, "include": ["raw"]}),
    "extract": (("text", {"count": int, "price": float, "who": list[str]}), {"explain": "quote"}),
}


@pytest.fixture
def ddf():
    return dd.from_pandas(ROWS, npartitions=4)


def verb_of(frame, name):
    return getattr(frame.tsn, name.partition(" ")[0])


@pytest.mark.parametrize("name", CALLS)
def test_meta_has_the_dtypes_of_the_pandas_verb_and_nothing_is_sent_for_it(name, ddf, sim, client):
    args, options = CALLS[name]
    lazy = verb_of(ddf, name)(*args, client=client, **options)
    assert sim.stats().requests == 0 and not client.ledger.path.exists() and not client.cache.file.exists()
    expected = verb_of(ROWS, name)(*args, client=client, progress=False, **options)
    pd.testing.assert_series_equal(lazy.dtypes, expected.dtypes)
    assert lazy._meta.attrs == {}


@pytest.mark.parametrize("name", CALLS)
def test_rows_are_those_of_the_pandas_verb(name, ddf, client):
    args, options = CALLS[name]
    there = verb_of(ddf, name)(*args, client=client, **options).compute(scheduler="threads")
    here = verb_of(ROWS, name)(*args, client=client, progress=False, **options)
    changed = [column for column in here.columns if column.endswith(("cost", "cached"))]
    pd.testing.assert_frame_equal(there.drop(columns=changed), here.drop(columns=changed))


@pytest.mark.parametrize("verb", ["complete", "label", "extract"])
def test_map_partitions_without_meta_sends_nothing_for_the_rows_that_dask_makes_up(verb, ddf, sim, client):
    args, options = CALLS[verb]
    lazy = ddf.map_partitions(lambda df: getattr(df.tsn, verb)(*args, client=client, progress=False, **options))
    assert sim.stats().requests == 0
    here = verb_of(ROWS, verb)(*args, client=client, progress=False, **options)
    assert lazy.dtypes.astype(str).equals(here.dtypes.astype(str))
    assert len(lazy.compute(scheduler="threads")) == len(ROWS)


def test_map_partitions_of_a_series_sends_nothing_either(ddf, sim, client):
    lazy = ddf["text"].map_partitions(lambda texts: texts.tsn.complete("One of: a, b. {text}", client=client, progress=False))
    assert (sim.stats().requests, lazy.dtype) == (0, "string")
    assert lazy.compute(scheduler="threads").notna().all()


def test_a_verb_without_columns_of_its_own_asks_for_meta(ddf, sim, client):
    with pytest.raises(ValueError, match="meta="):
        ddf.map_partitions(lambda df: tsn.start(df.tsn.complete, "{text}", client=client).result())
    assert sim.stats().requests == 0


def test_it_has_the_signature_and_the_words_of_the_pandas_verb(ddf):
    with pytest.raises(TypeError, match="did you mean 'temperature'"):
        ddf.tsn.complete("{text}", temprature=1)
    assert "votes" in tsn_dask.DaskAccessor.label.__signature__.parameters
    with pytest.raises(tsn.errors.PromptError, match="txt"):
        ddf.tsn.complete("{txt}", model="m")


def test_a_value_for_each_row_of_the_whole_frame_is_refused_and_a_function_is_taken(ddf, client):
    for given in (ROWS["n"], ddf["n"]):
        with pytest.raises(ParameterError, match="lambda df"):
            ddf.tsn.complete("{text}", repeat=given, client=client)
    out = ddf.tsn.complete("One of: a, b. {text}", repeat=lambda df: df["n"], client=client).compute(scheduler="threads")
    assert len(out["content"]) == 20 and (out["cached"] == False).all()  # noqa: E712 - a boolean column with NA


def test_empty_partitions_and_unknown_divisions_give_the_same_rows(ddf, client, sim):
    some = ddf[ddf["n"] >= 10].clear_divisions()
    out = some.tsn.label("text", ["billing", "delivery"], client=client).compute(scheduler="threads")
    assert out["n"].tolist() == list(range(10, 20)) and out["label"].notna().all()
    assert sim.stats().answers == len(TEXTS)
    runs = tsn.runs(client)
    assert (runs["rows"] > 0).all()


def test_a_graph_computed_twice_pays_once(ddf, client, sim):
    lazy = ddf.tsn.complete("One of: a, b. {text}", client=client)
    first = lazy.compute(scheduler="threads")
    paid = sim.stats().answers
    second = lazy.compute(scheduler="threads")
    assert sim.stats().answers == paid == len(TEXTS)
    assert second["cached"].all() and second["content"].equals(first["content"])


def test_a_graph_carries_no_key(ddf, tmp_path, sim):
    cloudpickle = pytest.importorskip("cloudpickle")
    secrets = {"api_key": KEY, "headers": {"api-key": KEY}, "query": {"key": KEY}}
    client = tsn.Client(sim.base_url, model="sim-small", cache=tmp_path / "c", ledger=tmp_path / "l.db", **secrets)
    lazy = ddf.tsn.complete("{text}", client=client)
    for thing in (lazy, lazy.expr, dict(lazy.__dask_graph__())):
        assert KEY.encode() not in cloudpickle.dumps(thing)
    assert KEY not in repr(lazy.expr) + str(lazy.__dask_graph__()) + lazy._name


def test_equal_calls_have_equal_names_and_other_calls_others(ddf, client):
    names = [ddf.tsn.complete(prompt, client=client)._name for prompt in ("{text}", "{text}", "{n}")]
    assert names[0] == names[1] != names[2]


def test_a_graph_of_another_version_is_refused_before_anything_is_sent(ddf, client, sim, monkeypatch):
    lazy = ddf.tsn.complete("{text}", client=client)
    monkeypatch.setattr(partition, "__version__", "0.0.1")
    with pytest.raises(ConfigError, match=r"tsn_frames .* and this worker has 0\.0\.1: install the same"):
        lazy.compute(scheduler="sync")
    assert sim.stats().requests == 0


def test_a_partition_that_fails_says_which_and_the_others_are_paid_once(ddf, client, sim):
    sim.balance = 2
    lazy = ddf.tsn.complete("{n} {text}", client=client)
    with pytest.raises(tsn.errors.BalanceError) as caught:
        lazy.compute(scheduler="sync")
    assert re.match(r"in partition \d of 4; every answer so far is cached", caught.value.__notes__[-1])
    pickle.loads(pickle.dumps(caught.value))
    sim.balance = None
    assert lazy.compute(scheduler="sync")["content"].notna().all() and sim.stats().answers == 20
