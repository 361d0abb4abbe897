"""Tables in and out: texts as they are written, formats by suffix, formulas escaped, errors that name the place."""

import io
import json
import os

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsn_frames.cli.tables.file_formats import TableFormat
from tsn_frames.cli.tables.formula_escaping import escape, unescape
from tsn_frames.cli.tables.read_table import read_table
from tsn_frames.cli.tables.write_table import check_target, table_bytes, write_table
from tsn_frames.errors import ParameterError, TSNWarning

TEXTS = ["007", "=1+1", "+49 30", "-5", "- item", "@name", "\tx", "\rx", "'=1", "it's", 'a "quoted", cell', "two\nlines", "日本"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "t.xlsx"])
def test_a_table_comes_back_as_it_was_written(tmp_path, name):
    texts = [text for text in TEXTS if name != "t.xlsx" or "\r" not in text]  # XML has no bare carriage return
    frame = pd.DataFrame({"id": texts, "=head": [*texts[1:], None]})
    write_table(frame, str(tmp_path / name))
    back = read_table(str(tmp_path / name))
    assert back["id"].tolist() == texts and back["=head"].tolist()[:-1] == texts[1:] and pd.isna(back["=head"].iloc[-1])


@given(st.text(alphabet="'=+-@\t\r15e. x", max_size=6))
def test_unescape_undoes_escape(text):
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "- yes", "'=1"])
def test_csv_keeps_a_spreadsheet_from_running_cells_and_headers(text):
    frame = pd.DataFrame({text: pd.Categorical([text])})
    rows = pd.read_csv(io.BytesIO(table_bytes(frame, "csv")), header=None, dtype=str)
    assert rows[0].tolist() == [f"'{text}", f"'{text}"]
    assert pd.read_csv(io.BytesIO(table_bytes(frame, "csv", TableFormat(escape=False))), header=None, dtype=str)[0].tolist() == [
        text,
        text,
    ]


@pytest.mark.parametrize("number", ["-5", "+5", "-1.5e-3", "-.5"])
def test_numbers_stay_numbers_also_in_columns_of_text(number):
    assert (
        table_bytes(pd.DataFrame({"text": [number], "n": [float(number)]}), "csv").decode().splitlines()[1].split(",")[0]
        == number
    )
    assert float(table_bytes(pd.DataFrame({"n": [float(number)]}), "csv").decode().splitlines()[1]) == float(number)


def test_excel_holds_texts_that_no_spreadsheet_runs():
    openpyxl = pytest.importorskip("openpyxl")
    frame = pd.DataFrame({"=head": ["=1+1", "@x"], "n": [-5, 2]})
    sheet = openpyxl.load_workbook(io.BytesIO(table_bytes(frame, "xlsx"))).active
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert [cell.data_type for cell in cells] == ["s", "s", "s", "n", "s", "n"] and sheet["B2"].value == -5
    formulas = openpyxl.load_workbook(io.BytesIO(table_bytes(frame, "xlsx", TableFormat(escape=False)))).active
    assert formulas["A2"].data_type == "f"


def test_a_text_that_excel_cuts_is_warned_of():
    with pytest.warns(TSNWarning, match=r"cells of 'long' are cut after 32,767 characters"):
        table_bytes(pd.DataFrame({"long": ["x" * 40_000], "short": ["x"]}), "xlsx")


def test_json_lines_keep_types_lists_and_gaps(tmp_path):
    rows = [{"n": 1, "x": 1.0, "list": [1, {"a": "b"}], "text": "ü"}, {"n": None, "x": 2.5, "list": None, "text": "007"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    frame = read_table(str(tmp_path / "t.jsonl"))
    assert str(frame["n"].dtype) == "Int64" and [json.loads(line) for line in table_bytes(frame, "jsonl").splitlines()] == rows


def test_lists_become_json_in_csv():
    assert table_bytes(pd.DataFrame({"tags": [["a", "b"], None]}), "csv").decode().splitlines()[1] == '"[""a"",""b""]"'


def test_an_excel_file_keeps_ids_numbers_and_dates(tmp_path):
    frame = pd.DataFrame({"id": ["007"], "n": [3], "x": [1.5], "day": [pd.Timestamp("2026-01-02")]})
    write_table(frame, str(tmp_path / "t.xlsx"))
    back = read_table(str(tmp_path / "t.xlsx"))
    assert back.iloc[0].tolist() == ["007", 3, 1.5, pd.Timestamp("2026-01-02")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.csv", b"", "t.csv is empty: a line with the names of the columns is needed"),
        ("t.jsonl", b"\n", "t.jsonl is empty"),
        ("t.csv", b"a,b\n1,2\n1,\xe4\n", r"not utf-8: byte 0xe4 at position 10, in line 3\. .* --encoding cp1252"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("t.csv", b"a,b\n1,2,3\n4,5,6\n", "can't be read: Length of header"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2 of .*t.jsonl is not JSON"),
        ("t.jsonl", b"[1]\n", "line 1 of .*t.jsonl is not an object"),
        ("t.parquet", b"zz", "t.parquet can't be read"),
        ("t.xlsx", b"zz", "t.xlsx can't be read"),
        ("t.txt", b"zz", r"the format of .* is unknown: give --format"),
    ],
)
def test_what_can_not_be_read_is_named_with_its_place(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ParameterError, match=problem):
        read_table(str(tmp_path / name))


def test_a_missing_file_and_an_unknown_encoding_are_named(tmp_path):
    with pytest.raises(ParameterError, match=r"no.csv can't be read: No such file"):
        read_table(str(tmp_path / "no.csv"))
    (tmp_path / "t.csv").write_bytes(b"a\nb\n")
    with pytest.raises(ParameterError, match="there is no encoding 'utf8ish'"):
        read_table(str(tmp_path / "t.csv"), TableFormat(encoding="utf8ish"))


def test_other_encodings_and_byte_order_marks_are_read(tmp_path):
    (tmp_path / "a.csv").write_bytes("tex,b\nü,1\n".encode("cp1252"))
    (tmp_path / "b.csv").write_bytes("\ufefftext\nü\n".encode())
    assert read_table(str(tmp_path / "a.csv"), TableFormat(encoding="cp1252"))["tex"][0] == "ü"
    assert read_table(str(tmp_path / "b.csv")).columns.tolist() == ["text"]


def test_another_delimiter_is_read_and_written(tmp_path):
    (tmp_path / "t.csv").write_text("id;text\n007;a, b\n")
    semicolons = TableFormat(delimiter=";")
    frame = read_table(str(tmp_path / "t.csv"), semicolons)
    assert frame.iloc[0].tolist() == ["007", "a, b"] and table_bytes(frame, "csv", semicolons) == b"id;text\n007;a, b\n"
    assert TableFormat(delimiter="\\t").delimiter_of("csv") == "\t"
    for wrong in ("", ";;", '"', "\n"):
        with pytest.raises(ParameterError, match="--delimiter must be one character"):
            TableFormat(delimiter=wrong)


def test_a_blank_line_is_a_row_where_there_is_one_column(tmp_path):
    (tmp_path / "one.csv").write_text("text\na\n\nb\n")
    (tmp_path / "two.csv").write_text("text,x\na,1\n\nb,2\n")
    one = read_table(str(tmp_path / "one.csv"))
    assert one["text"].isna().tolist() == [False, True, False] and len(read_table(str(tmp_path / "two.csv"))) == 2
    write_table(one, str(tmp_path / "again.csv"))
    assert read_table(str(tmp_path / "again.csv"))["text"].isna().tolist() == [False, True, False]


@pytest.mark.skipif(os.name != "posix", reason="a pipe with a name")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    check_target(str(tmp_path / "pipe"), TableFormat("csv"))
    write_table(pd.DataFrame({"x": [1]}), str(tmp_path / "pipe"), TableFormat("csv"))
    assert os.read(reader, 100) == b"x\n1\n" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_file_that_can_not_be_written_leaves_the_old_one(tmp_path):
    target = tmp_path / "t.parquet"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with pytest.raises(Exception, match="type"):
        write_table(pd.DataFrame({"x": [object()]}), str(target))
    assert target.read_bytes() == b"old"
    write_table(pd.DataFrame({"x": [1]}), str(target))
    assert target.stat().st_mode & 0o777 == 0o640 and [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
