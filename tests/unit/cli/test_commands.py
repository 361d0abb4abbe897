"""The commands with a real simulator: output, exit codes, and nothing sent where the input is wrong."""

import errno
import json
import re

import pandas as pd
import pytest

import tsn_frames as tsn
from tsn_frames.cli.exit_codes import exit_code_of
from tsn_frames.simulator import Simulator

CSV = b"id,text\n007,Where is it?\n008,=1+1\n009,\n"


def test_complete_reads_stdin_and_writes_stdout(shell, sim):
    code, out, err = shell("complete", "-p", "Topic? {text}", "--name", "topic", "--no-usage", stdin=CSV)
    lines = out.splitlines()
    assert code == 0 and lines[0] == "id,text,topic,topic_error" and lines[1].startswith("007,Where is it?,[simulated]")
    assert lines[2].startswith("008,'=1+1,") and lines[3].startswith("009,,,missing:")
    assert "2 of 3 rows answered (1 missing); 2 requests" in err and sim.stats().requests == 2


def test_label_goes_from_one_format_to_another_and_the_second_run_sends_nothing(shell, sim, tmp_path):
    (tmp_path / "in.csv").write_bytes(CSV)
    assert shell("label", "in.csv", "--text", "text", "--labels", "a,b", "-o", "out.jsonl").code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[0]["id"] == "007" and rows[0]["label"] in ("a", "b") and rows[2]["label"] is None
    code, out, err = shell("label", "out.jsonl", "--text", "text", "--labels", "a,b", "--overwrite", "-q", "--missing", "skip")
    assert (code, err, sim.stats().requests) == (0, "", 2) and out.startswith("id,text,label")


def test_extract_takes_a_json_schema(shell, tmp_path):
    (tmp_path / "s.json").write_text('{"properties": {"amount": {"type": "number"}, "who": {"type": "string"}}}')
    code, out, _ = shell("extract", "--text", "text", "--schema", "s.json", "--format", "jsonl", stdin=b'{"text": "5 EUR"}\n')
    assert code == 0 and isinstance(json.loads(out)["amount"], float)


def test_estimate_sends_nothing(shell, sim):
    code, out, _ = shell("estimate", "label", "--text", "text", "--labels", "a,b", stdin=CSV)
    assert code == 0 and "3 rows" in out and "2 to be sent" in out and sim.stats().requests == 0


def test_a_folder_gets_the_parts_of_a_large_file(shell, tmp_path):
    pd.DataFrame({"text": ["a", "b", "c"]}).to_parquet(tmp_path / "in.parquet")
    code, _, err = shell("complete", "in.parquet", "-p", "Topic? {text}", "-o", "out/", "--chunksize", "2")
    assert code == 0 and "3 of 3 rows answered" in err
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 2
    code, _, err = shell("complete", "in.parquet", "-p", "Topic? {text}", "-o", "out/", "--rows", "2")
    assert code == 2 and "for an output in one file" in err


def test_a_table_with_semicolons_names_the_option(shell):
    rows = b"id;text\n1;a\n"
    code, _, err = shell("label", "--text", "text", "--labels", "a,b", stdin=rows)
    assert code == 2 and "Give --delimiter ';'" in err
    assert shell("label", "--text", "text", "--labels", "a,b", "--delimiter", ";", "--no-usage", stdin=rows).out.startswith(
        "id;text;label;"
    )


def test_a_column_of_message_lists_takes_the_place_of_a_prompt(shell):
    line = b'{"chat": [{"role": "user", "content": "Hello"}]}\n'
    code, out, _ = shell("complete", "--messages", "chat", "--format", "jsonl", "--stop", "a", "--stop", "b", stdin=line)
    assert code == 0 and json.loads(out)["content"].startswith("[simul") and json.loads(out)["chat"][0]["role"] == "user"


def test_rows_and_sample_take_the_same_rows_every_time(shell):
    rows = b"text\n" + b"".join(b"message %d\n" % at for at in range(50))
    first, again = (shell("complete", "-p", "{text}", "--sample", "5", stdin=rows).out for _ in range(2))
    texts = [[line.split(",")[0] for line in out.splitlines()] for out in (first, again)]
    assert texts[0] == texts[1] and len(texts[0]) == 6
    assert len(shell("complete", "-p", "{text}", "--rows", "3", stdin=rows).out.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["complete", "-p", "Topic? {txt}"], "names a column 'txt'.*did you mean 'text'"),
        (["label", "--text", "txt", "--labels", "a,b"], "--text names a column 'txt' .* did you mean 'text'"),
        (["complete", "-p", "{text}", "--temperature", "3"], "temperature must be from 0 to 2"),
        (["complete", "-p", "{text}", "--temperature", "hot"], "'hot' is not a valid float"),
        (["complete", "-p", "{text}", "--extra-body", "[1]"], "a JSON object such as"),
        (["complete", "-p", "{text}", "--votes", "1"], "No such option"),
        (["complete", "-p", "{text}", "--api-key", "x"], "No such option"),
        (["complete"], "give --prompt, such as -p"),
        (["complete", "-p", "{text}", "--messages", "chat"], "give exactly one of prompt="),
        (["complete", "-p", "{text}", "-o", "none/out.csv"], "the folder none is missing"),
        (["complete", "-p", "{text}", "-o", "out.doc"], "the format of 'out.doc' is unknown"),
        (["complete", "-p", "{text}", "--max-cost", "1"], "max_cost"),
        (["nothing"], "No such command"),
    ],
)
def test_what_can_not_be_is_usage_and_sends_nothing(shell, sim, arguments, problem):
    code, out, err = shell(*arguments, stdin=CSV)
    assert (code, out) == (2, "") and pd.Series([err.replace("\n", " ")]).str.contains(problem).item(), err
    assert sim.stats().requests == 0 and "Traceback" not in err


@pytest.mark.parametrize("verb", [["complete", "-p", "{text}"], ["label", "--text", "text", "--labels", "a,b"]])
def test_without_a_model_the_shell_names_its_own_option(shell, monkeypatch, verb):
    monkeypatch.delenv("TSN_MODEL")
    code, out, err = shell(*verb, stdin=CSV)
    assert (code, out) == (2, "") and "give --model, or set the environment variable TSN_MODEL" in err
    assert shell(*verb, "--model", "sim-small", stdin=CSV).code == 0


def test_failed_rows_are_code_1_with_the_whole_output(shell):
    code, out, err = shell("complete", "-p", "Topic? {text}", "--cache", "only", stdin=CSV)
    assert code == 1 and len(out.splitlines()) == 4 and "not_cached" in out and "2 failed" in err


def test_a_run_that_ends_early_is_code_3_without_output_unless_partial(shell, monkeypatch, tmp_path):
    with Simulator(latency=0.0, balance=1) as poor:
        monkeypatch.setenv("TSN_BASE_URL", poor.base_url)
        code, out, err = shell("complete", "-p", "Topic? {text}", "--concurrency", "1", stdin=CSV)
        assert (code, out) == (3, "") and "BalanceError" in err and "run again" in err
        code, _, err = shell("complete", "-p", "Topic? {text}", "-o", "part.csv", "--partial", stdin=CSV)
    part = pd.read_csv(tmp_path / "part.csv")
    assert code == 3 and part["content"].notna().sum() == 1 and part["id"].tolist() == [7, 8, 9]


def test_an_output_that_can_not_be_written_is_code_3_and_another_format_costs_nothing(shell, sim, tmp_path):
    lines = b'{"text": "a", "x": 1}\n{"text": "b", "x": "mixed"}\n'
    code, _, err = shell("complete", "-p", "{text}", "--format", "jsonl", "-o", "out.parquet", stdin=lines)
    assert code == 3 and "out.parquet can't be written" in err and "2 of 2 rows are answered, and the cache keeps them" in err
    assert shell("complete", "-p", "{text}", "--format", "jsonl", stdin=lines).code == 0 and sim.stats().requests == 2


def test_a_bug_is_not_taken_for_failed_rows(capsys):
    assert exit_code_of(ZeroDivisionError("division by zero")) == 70
    assert "ZeroDivisionError: division by zero\nThis is a bug of tsn-frames." in capsys.readouterr().err


def test_a_full_disk_says_that_the_answers_are_kept(shell, capsys):
    """No test writes to /dev/full: as root, a mistake in how files are replaced would replace the device."""
    shell("complete", "-p", "Topic? {text}", stdin=CSV)
    assert exit_code_of(OSError(errno.ENOSPC, "No space left on device", "out.csv")) == 3
    assert "No space left on device: out.csv. 2 of 3 rows are answered, and the cache keeps them" in capsys.readouterr().err


def test_the_key_is_in_no_output(shell, monkeypatch):
    monkeypatch.setenv("TSN_API_KEY", "tsn_test_0123456789abcdef")
    outputs = [shell("doctor"), shell("complete", "-p", "{text}", stdin=CSV), shell("runs"), shell("complete", "--help")]
    assert all("0123456789abcdef" not in ended.out + ended.err for ended in outputs)


def test_cache_commands_show_export_load_verify_and_prune(shell, tmp_path):
    shell("complete", "-p", "Topic? {text}", stdin=CSV)
    assert shell("cache", "stats").out.startswith("2 answers, ")
    assert shell("cache", "export", "a.jsonl").out == "2 answers written to a.jsonl\n"
    assert shell("cache", "load", "a.jsonl", "--cache-dir", "other").out == "2 answers added\n"
    assert shell("cache", "verify", "--cache-dir", "other").out.startswith("intact: 2 answers")
    assert shell("cache", "prune", "--older-than", "0d").code == 2  # no terminal to ask on
    assert shell("cache", "prune", "--older-than", "0d", "--yes", "--cache-dir", "other").out == "2 answers deleted\n"
    assert shell("cache", "stats").out.startswith("2 answers")


def test_verify_finds_a_damaged_file_and_changes_nothing(shell, tmp_path):
    shell("complete", "-p", "Topic? {text}", stdin=CSV)
    [file] = (tmp_path / "cache").glob("cache.db")
    data = bytearray(file.read_bytes())
    at = data.index(b"[simulated]")
    data[at : at + 11] = b"[tampered!]"
    file.write_bytes(data)
    code, out, _ = shell("cache", "verify")
    assert code == 1 and "1 answer of 2 differ from their checksums" in out and file.read_bytes() == data
    file.write_bytes(b"\0" * 100 + data[100:])
    code, out, _ = shell("cache", "verify")
    assert code == 1 and "damaged" in out and shell("doctor").code == 1


def test_ledger_and_runs_are_tables_to_read_or_files(shell, tmp_path, one_day):
    assert shell("runs").out == "none yet\n"
    shell("complete", "-p", "Topic? {text}", "--tag", "sales", stdin=CSV)
    assert "sales" in shell("ledger", "summary", "--by", "month,tag").out
    assert "complete" in shell("runs").out and "<NA>" not in shell("runs").out
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d ", shell("runs").out) and not re.search(
        r"\d\d:\d\d", shell("ledger", "summary").out
    )
    shell("runs", "-o", "runs.xlsx")
    assert pd.read_excel(tmp_path / "runs.xlsx")["requests"].tolist() == [2]
    assert json.loads(shell("ledger", "summary", "--format", "jsonl").out)["answers"] == 2
    assert shell("ledger", "summary", "--by", "yaer").code == 2


def test_chat_answers_a_question_from_a_pipe(shell, sim):
    code, out, err = shell("chat", "--system", "Be short.", stdin=b"Hello")
    assert code == 0 and out.startswith("[simulated]") and err == "" and sim.stats().requests == 1
    assert shell("chat", stdin=b" ").code == 2


def test_an_answer_can_not_control_the_terminal(shell, monkeypatch):
    with Simulator(latency=0.0, answer=lambda _: "\x1b[2Jred\x07 \x9b1mtext\nend") as server:
        monkeypatch.setenv("TSN_BASE_URL", server.base_url)
        assert shell("chat", stdin=b"Hello").out == "[2Jred 1mtext\nend\n"


def test_demo_needs_no_options(shell):
    code, out, _ = shell("demo")
    assert code == 0 and "sent 0 requests" in out


def test_the_demo_reads_a_csv_as_the_other_commands_do(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("CSV", "in.csv")
    monkeypatch.setenv("COLUMN", "body")
    (tmp_path / "in.csv").write_text("id,body\n007,Hello\n")
    assert re.search(r"\b007 +Hello\n", shell("demo").out)
    (tmp_path / "in.csv").write_bytes("id,body\n1,Größe\n".encode("cp1252"))
    code, _, err = shell("demo")
    assert code == 1 and "in.csv is not utf-8" in err and "save it as UTF-8" in err


def test_the_version_is_that_of_the_package(shell):
    assert shell("--version").out == f"tsn-frames, version {tsn.__version__}\n"
